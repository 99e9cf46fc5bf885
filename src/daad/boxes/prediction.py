"""The result of a detector of boxes for one image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Detection:
    """A detected box.

    Args:
        box: (left, top, right, bottom) in pixels of the image as it was given, right and bottom exclusive.
        label: its class.
        score: the network's probability of that class, in (0, 1].
    """

    box: tuple[float, float, float, float]
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class BoxPrediction:
    """The boxes of one image.

    Args:
        name: the image's name.
        detections: the boxes, the highest score first.
        size: (height, width) of the image as it was given.
        error: why the image could not be judged, and so has no boxes; None where it was.
    """

    name: str
    detections: tuple[Detection, ...] = ()
    size: tuple[int, int] = (0, 0)
    error: str | None = None
