"""From which score on a found box is shown: set on images kept out of training, like every threshold of the house."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

UNTESTED = 0.5  # the threshold where no held-out image shows a box


class Confidence(BaseModel):
    """The threshold of a box's score, and how good it was on the held-out images.

    Args:
        threshold: the score from which a box is shown, in [0, 1].
        images: the number of held-out images.
        boxes: the number of labelled boxes on them.
        precision: at IoU .5; None, never NaN, where there was nothing to measure on. So are the next two.
        recall: at IoU .5.
        f1: at IoU .5.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(ge=0, le=1)
    images: int = Field(ge=0)
    boxes: int = Field(ge=0)
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None

    @classmethod
    def from_found(cls, scores: npt.ArrayLike, right: npt.ArrayLike, *, images: int, boxes: int) -> Confidence:
        """The threshold of the best F1; 0.5 where there is nothing to find, or nothing found is right.

        It lies halfway to the next lower score, so that a score a hair lower is still taken.

        Args:
            scores: (N,) those of all boxes found on the held-out images.
            right: (N,) which of them match a labelled box.
            images: the number of held-out images.
            boxes: the number of labelled boxes on them.
        """
        values, hits = np.asarray(scores, np.float64), np.asarray(right, bool)
        if not boxes or not hits.any():
            return cls(threshold=UNTESTED, images=images, boxes=boxes)
        order = np.argsort(-values, kind="stable")
        values, true_positives = values[order], np.cumsum(hits[order])
        last = np.append(values[1:] < values[:-1], True)  # equal scores are one threshold
        f1 = np.where(last, 2 * true_positives / (np.arange(1, len(values) + 1) + boxes), -1.0)
        best = int(f1.argmax())
        lower = values[best + 1] if best + 1 < len(values) else 0.0
        return cls(
            threshold=float((values[best] + lower) / 2),
            images=images,
            boxes=boxes,
            precision=float(true_positives[best] / (best + 1)),
            recall=float(true_positives[best] / boxes),
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
