"""`Scorer`: prepared integer images in, scores and maps out. All that judges goes through one, whatever runs it.

Preprocess -> images (B, h, w, C) -> Scorer (torch, ONNX Runtime, ...) -> Scored -> Calibration
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[Any]


class Scored(NamedTuple):
    """score (B,), anomaly_map (B, h, w), reconstruction (B, h, w, C) integers or None, and more pictures by name like
    it; all at the model's size."""

    score: npt.NDArray[np.float32]
    anomaly_map: npt.NDArray[np.float32]
    reconstruction: Ints | None
    pictures: dict[str, Ints]


class Scorer(Protocol):
    """Scores prepared images (B, h, w, C), uint8 or uint16 as `Preprocess.dtype` says.

    The scores are float32 and finite, higher is more anomalous; an image's score does not depend on the others of its
    batch. Raises TrainingError for a score that is not finite.
    """

    def __call__(self, images: Ints, /) -> Scored: ...

    def fingerprint(self) -> str:
        """A hash of all that decides the scores: weights and settings."""


def score_all(scorer: Scorer, batches: Iterable[Ints]) -> Iterator[tuple[float, float]]:
    """(score, highest map value) of every image, holding one batch at a time."""
    for images in batches:
        scored = scorer(images)
        yield from zip(scored.score.tolist(), scored.anomaly_map.max(axis=(1, 2)).tolist(), strict=True)
