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

    `box` is (left, top, right, bottom), right and bottom exclusive; `area` counts pixels; `peak` is the largest map
    value inside; `centroid` is (x, y), the mean position of the region's pixels.
    """

    box: tuple[int, int, int, int]
    area: int
    peak: float
    centroid: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The verdict on one image.

    `score` is the model's raw anomaly score (higher is more anomalous, no fixed range). `p_value` in (0, 1] is the
    conformal p-value against held-out normal images: the share of normal images expected to score at least this high.
    `is_anomalous` is `score > threshold`. `anomaly_map` is (H, W) float32 at the size of
    the given image; `reconstruction` is (h, w, C) uint8 or uint16 at the size the model saw, and so is what else the
    model draws, in `pictures` by name (utad: impression, naive impression), and the `image` itself as the model saw it.
    `threshold` and `map_threshold` are those it was judged by. Where the image could not be judged, `error` says why,
    numbers are NaN and `is_anomalous` is None.
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
