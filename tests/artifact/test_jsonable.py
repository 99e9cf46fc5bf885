"""What a user gives as settings can be saved, or is refused by name."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daad import ArtifactError, Detector
from daad.artifact.jsonable import jsonable
from tests.images import striped


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.int64(3), 3),
        (np.uint8(3), 3),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.array(1.5), 1.5),
        ((1, (2,)), [1, [2]]),
        ({"a": {1: np.int8(2)}}, {"a": {"1": 2}}),
        (Path("a/b"), "a/b"),
        (date(2026, 1, 2), "2026-01-02"),
        ("ä\udc80", "ä\udc80"),
        (None, None),
        (True, True),
    ],
)
def test_what_json_can_hold_is_kept(given: Any, kept: Any) -> None:
    found = jsonable(given, "x")
    assert found == kept and type(found) is type(kept)
    assert json.loads(json.dumps(found)) == kept


@pytest.mark.parametrize("bad", [object(), len, np.nan, np.float32(np.inf), torch.zeros(2), {(1, 2): 3}, {3 + 4j: 1}])
def test_what_json_cannot_hold_is_refused_by_its_name(bad: Any) -> None:
    with pytest.raises(ArtifactError, match=r"provenance\.settings\.1 cannot be saved: found"):
        jsonable({"settings": [0, bad]}, "provenance")


def test_a_detector_fitted_with_numpy_settings_can_be_saved(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": np.int64(1), "widths": np.array([8, 8, 8, 8, 8]), "batch_size": 4}
    detector = Detector.fit(striped(8, 32, 32, 1), model="ae", image_size=32, seed=np.int64(0), **settings)  # type: ignore[arg-type]
    found = Detector.load(detector.save(tmp_path / "detector")).provenance
    assert (found["seed"], found["settings"]) == (0, {"steps": 1, "widths": [8, 8, 8, 8, 8], "batch_size": 4})


def test_provenance_that_cannot_be_saved_leaves_the_old_detector(copy: Path) -> None:
    detector = Detector.load(copy)
    detector.provenance = {**detector.provenance, "camera": object()}
    with pytest.raises(ArtifactError, match=r"provenance\.camera cannot be saved"):
        detector.save(copy)
    assert "camera" not in Detector.load(copy).provenance
