"""What a detector of boxes says of one image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Detection:
    """A found box: (left, top, right, bottom) in pixels of the image as it was given, right and bottom exclusive; its
    class; and the score in (0, 1], the network's probability of that class."""

    box: tuple[float, float, float, float]
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class BoxPrediction:
    """The boxes found in one image, the highest score first. `size` is (height, width). Where the image could not be
    judged, `error` says why and there are no boxes."""

    name: str
    detections: tuple[Detection, ...] = ()
    size: tuple[int, int] = (0, 0)
    error: str | None = None
