"""What daad says of one image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Region:
    """A connected area of the anomaly map above the map threshold, in pixels of the image as it was given.

    Args:
        box: (left, top, right, bottom), right and bottom exclusive.
        area: the number of pixels.
        peak: the largest map value inside.
        centroid: (x, y), the mean position of the region's pixels.
    """

    box: tuple[int, int, int, int]
    area: int
    peak: float
    centroid: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The verdict on one image.

    Where the image could not be judged, `error` says why, numbers are NaN and `is_anomalous` is None.

    Args:
        name: the image's path within its folder or list, or its place, such as array[3].
        score: the model's raw anomaly score; higher is more anomalous, in no fixed range.
        p_value: the share of normal images expected to score at least this high, in (0, 1]: the conformal p-value
            against held-out normal images.
        is_anomalous: whether `score` is above `threshold`.
        regions: where the map is above `map_threshold`, the highest peak first.
        anomaly_map: (H, W) float32 at the size of the given image; None where maps were not asked for.
        reconstruction: (h, w, C) uint8 or uint16 at the size the model saw; None where the model gives none.
        error: why the image could not be judged, else None.
        pictures: what else the model draws, by name, of the form of `reconstruction` (utad: impression, naive
            impression).
        image: the given image as the model saw it, of the form of `reconstruction`.
        threshold: the score above which an image is anomalous.
        map_threshold: the map value above which a pixel belongs to a region.
    """

    name: str
    score: float = math.nan
    p_value: float = math.nan
    is_anomalous: bool | None = None
    regions: tuple[Region, ...] = ()
    anomaly_map: npt.NDArray[np.float32] | None = None
    reconstruction: npt.NDArray[Any] | None = None
    error: str | None = None
    pictures: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    image: npt.NDArray[Any] | None = None
    threshold: float = math.nan
    map_threshold: float = math.nan

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from daad.scoring.notebook import prediction_html

        return prediction_html(self)
