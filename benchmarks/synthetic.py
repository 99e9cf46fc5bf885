"""Synthetic defects with masks on good training images: what the presets' choices are made on, instead of test images.

Defects are drawn at an image's own resolution and in units of its short side, so that a setting which shrinks images
is seen to shrink their defects too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from daad.data.arrays import Pixels

Mask = npt.NDArray[np.bool_]
Draw = Callable[[Pixels, Pixels, np.random.Generator], npt.NDArray[np.float64]]
SMALLEST_CHANGE = 4 / 255  # of full white: what counts as part of the defect


def with_defects(images: Sequence[Pixels], seed: int) -> tuple[list[Pixels], list[Mask]]:
    """A copy of each image (H, W, C) with one defect, in turn patch, scratch, blob; and the mask (H, W) of each."""
    rng = np.random.default_rng(seed)
    kinds: tuple[Draw, ...] = (pasted_patch, scratch, blob)
    found, masks = [], []
    for i, image in enumerate(images):
        values = kinds[i % len(kinds)](image, images[rng.integers(len(images))], rng)
        white = np.iinfo(image.dtype).max
        defective = values.round().clip(0, white).astype(image.dtype)
        change = np.abs(defective.astype(np.float64) - image).max(axis=2)
        found.append(defective)
        masks.append(change > SMALLEST_CHANGE * white)
    return found, masks


def pasted_patch(image: Pixels, other: Pixels, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A rectangle of another image, from another place."""
    height, width = (min(a, b) for a, b in zip(image.shape[:2], other.shape[:2], strict=True))
    short = min(height, width)
    tall, wide = rng.integers(max(2, short // 20), max(3, short // 5), 2)
    (top, source_top), (left, source_left) = rng.integers(0, height - tall, 2), rng.integers(0, width - wide, 2)
    found = image.astype(np.float64)
    found[top : top + tall, left : left + wide] = other[
        source_top : source_top + tall, source_left : source_left + wide
    ]
    return found


def scratch(image: Pixels, other: Pixels, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A straight line a hundredth of the image wide, darker or brighter."""
    ys, xs, short = _grid(image)
    angle, length = rng.uniform(0, np.pi), rng.uniform(0.15, 0.4) * short
    y, x = ys - rng.uniform(0.25, 0.75) * image.shape[0], xs - rng.uniform(0.25, 0.75) * image.shape[1]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    line = (np.abs(along) < length / 2) * np.exp(-((across / max(0.75, short / 100)) ** 2))
    return _added(image, line, rng, 0.15, 0.4)


def blob(image: Pixels, other: Pixels, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A soft round spot, darker or brighter."""
    ys, xs, short = _grid(image)
    y, x = (ys - rng.uniform(0.2, 0.8) * image.shape[0]), (xs - rng.uniform(0.2, 0.8) * image.shape[1])
    spot = np.exp(-(y**2 + x**2) / (2 * (rng.uniform(0.02, 0.06) * short) ** 2))
    return _added(image, spot, rng, 0.1, 0.25)


def _grid(image: Pixels) -> tuple[Any, Any, int]:
    height, width = image.shape[:2]
    ys, xs = np.mgrid[:height, :width]
    return ys, xs, min(height, width)


def _added(
    image: Pixels, shape: npt.NDArray[np.float64], rng: np.random.Generator, least: float, most: float
) -> npt.NDArray[np.float64]:
    """The image with `shape` added at a strength of `least` to `most` of white, towards where there is room."""
    white = float(np.iinfo(image.dtype).max)
    weight = shape.sum() or 1.0
    level = float((image.mean(axis=2) * shape).sum() / weight) / white
    sign = rng.choice([-1, 1]) if 0.25 < level < 0.75 else (1 if level <= 0.25 else -1)
    added: npt.NDArray[np.float64] = image + sign * rng.uniform(least, most) * white * shape[..., None]
    return added
