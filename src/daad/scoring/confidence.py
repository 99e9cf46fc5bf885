"""From which score on a found box is shown: set on images kept out of training, like every threshold of the house."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

UNTESTED = 0.5  # the threshold where no held-out image shows a box


class Confidence(BaseModel):
    """The threshold of a box's score, and what it was worth on the held-out images: precision, recall and F1 at IoU .5,
    NaN-free (None where there was nothing to measure on)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(ge=0, le=1)
    images: int = Field(ge=0)
    boxes: int = Field(ge=0)
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None

    @classmethod
    def from_found(cls, scores: npt.ArrayLike, right: npt.ArrayLike, *, images: int, boxes: int) -> Confidence:
        """The threshold of the best F1: the scores (N,) of all boxes found on `images` held-out images, which of them
        (N,) are right, and how many boxes there are to find. Half the way to the next lower score, so that a score a
        hair lower is still taken; 0.5 where there is nothing to find or nothing was found rightly."""
        values, hits = np.asarray(scores, np.float64), np.asarray(right, bool)
        if not boxes or not hits.any():
            return cls(threshold=UNTESTED, images=images, boxes=boxes)
        order = np.argsort(-values, kind="stable")
        values, found = values[order], np.cumsum(hits[order])
        last = np.append(values[1:] < values[:-1], True)  # equal scores are one threshold
        f1 = np.where(last, 2 * found / (np.arange(1, len(values) + 1) + boxes), -1.0)
        best = int(f1.argmax())
        lower = values[best + 1] if best + 1 < len(values) else 0.0
        return cls(
            threshold=float((values[best] + lower) / 2),
            images=images,
            boxes=boxes,
            precision=float(found[best] / (best + 1)),
            recall=float(found[best] / boxes),
            f1=float(f1[best]),
        )

    @property
    def note(self) -> str | None:
        """What a user must know of it."""
        if self.f1 is None or math.isclose(self.f1, 0):
            return (
                f"the score from which a box is shown could not be set: {self.boxes} boxes on {self.images} held-out "
                f"images, none of them found; it is {UNTESTED}"
            )
        return None
