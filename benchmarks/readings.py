"""One training, several scores: the same weights read under other settings."""

from __future__ import annotations

from typing import Any

MAXIMUM: dict[str, Any] = {"standardise": False, "detail_sigma": 0.0}
PAPER: dict[str, Any] = {**MAXIMUM, "reduction": "mean"}
R_ALONE: dict[str, Any] = {"gamma": 1.0, "balance": False}
# DAAD+ mixes R with L in units that were learnt for its own R: with another R the mixture must be given anew.
PAPER_PLUS: dict[str, Any] = {**PAPER, "gamma": 0.9, "balance": False}


def papers_score(model: str) -> dict[str, Any]:
    """The settings under which a model scores as its paper does: whole-image L2, for DAAD+ with a tenth of L; the plain
    distance for MCOD."""
    return {"daad+": PAPER_PLUS, "mcod": {"standardise": False}}.get(model, PAPER)


def reading(detector: Any, changes: dict[str, Any]) -> Any:
    """The same weights under other settings of the score."""
    from daad import Detector
    from daad.models.build import build

    twin = build(detector.name, {**detector.model.config.model_dump(), **changes})
    state = detector.model.state_dict()
    if changes.get("balance") is False:
        state.pop("spread")  # stays at one
    twin.load_state_dict(state, strict=False)
    return Detector.of(detector.name, twin, detector.preprocess, detector.calibration, detector.provenance)
