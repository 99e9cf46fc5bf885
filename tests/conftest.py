"""Fixtures that every test may use; all images are made here, never read from elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

from tests.images import save_png, spotted, striped


@pytest.fixture(scope="session")
def good_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain folder of 12 good images, 40 x 56 grey."""
    folder = tmp_path_factory.mktemp("good")
    for index, image in enumerate(striped(12, 40, 56, 1)):
        save_png(folder / f"{index:02d}.png", image)
    return folder


@pytest.fixture(scope="session")
def mvtec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MVTec-style folder: 12 good to learn from, 6 good and 6 spotted to test, with masks."""
    root = tmp_path_factory.mktemp("stripes")
    for index, image in enumerate(striped(12, 48, 48, 1, seed=0)):
        save_png(root / "train" / "good" / f"{index:03d}.png", image)
    for index, image in enumerate(striped(6, 48, 48, 1, seed=1)):
        save_png(root / "test" / "good" / f"{index:03d}.png", image)
    images, masks = spotted(striped(6, 48, 48, 1, seed=2), seed=3)
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        save_png(root / "test" / "spot" / f"{index:03d}.png", image)
        save_png(root / "ground_truth" / "spot" / f"{index:03d}_mask.png", mask.astype(np.uint8)[..., None] * 255)
    return root
