"""Trivial detectors that every table carries: a model that does not beat them has learnt nothing worth its time.

Each takes training images and test images, float (N, H, W, C) in [0, 1], and gives a score per test image.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter
from scipy.spatial.distance import cdist

Floats = npt.NDArray[np.float32]
Baseline = Callable[[Floats, Floats], npt.NDArray[np.float64]]

NEIGHBOURS = 5
WINDOW = 5


def pixel_knn(train: Floats, test: Floats) -> npt.NDArray[np.float64]:
    """Mean Euclidean distance to the five nearest training images."""
    distances = cdist(test.reshape(len(test), -1), train.reshape(len(train), -1))
    return np.sort(distances, axis=1)[:, :NEIGHBOURS].mean(axis=1)


def mean_image(train: Floats, test: Floats) -> npt.NDArray[np.float64]:
    """Mean squared difference from the mean training image."""
    return np.square(test - train.mean(axis=0)).mean(axis=(1, 2, 3))


def local_variance(train: Floats, test: Floats) -> npt.NDArray[np.float64]:
    """How far the mean variance in small windows lies from that of the training images, in their spread."""
    return _distance_in_spreads(_local_variance(train), _local_variance(test))


def brightness(train: Floats, test: Floats) -> npt.NDArray[np.float64]:
    """How far the mean brightness lies from that of the training images, in their spread."""
    return _distance_in_spreads(train.mean(axis=(1, 2, 3)), test.mean(axis=(1, 2, 3)))


BASELINES: dict[str, Baseline] = {
    "pixel-knn": pixel_knn,
    "mean-image": mean_image,
    "local-variance": local_variance,
    "brightness": brightness,
}


def _local_variance(images: Floats) -> npt.NDArray[np.float64]:
    size = (1, WINDOW, WINDOW, 1)
    values = images.astype(np.float64)
    mean, squares = uniform_filter(values, size), uniform_filter(values**2, size)
    return (squares - mean**2).mean(axis=(1, 2, 3))


def _distance_in_spreads(train: npt.NDArray[np.float64], test: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.abs(test - train.mean()) / max(float(train.std()), 1e-12)
