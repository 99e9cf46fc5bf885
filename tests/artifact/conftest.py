"""A small detector, saved once, and a copy of it for each test to spoil."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from daad import Detector
from tests.images import striped


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    detector = Detector.fit(striped(8, 32, 32, 1), model="ae", image_size=32, size="nano", steps=2, batch_size=4)
    return detector.save(tmp_path_factory.mktemp("saved") / "detector")


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "detector"))
