"""One training, several scores: the same weights read under other settings."""

from __future__ import annotations

from typing import Any


def reading(detector: Any, changes: dict[str, Any]) -> Any:
    """The same weights under other settings of the score."""
    from daad import Detector
    from daad.artifact.build import build

    twin = build(detector.name, {**detector.model.config.model_dump(), **changes})
    state = detector.model.state_dict()
    if changes.get("balance") is False:
        state.pop("spread")  # stays at one
    twin.load_state_dict(state, strict=False)
    return Detector(detector.name, twin, detector.preprocess, detector.calibration, detector.provenance)
