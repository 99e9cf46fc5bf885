"""A scene in small: the highest map value, and one pixel, of every square of `factor` x `factor` pixels."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from daad.data.patches import Patch

MAP_SIDE = 2048  # longest side of the small map


def factor_of(height: int, width: int) -> int:
    """Scene pixels a side that one pixel of the small map stands for."""
    return math.ceil(max(height, width) / MAP_SIDE)


def small_shape(height: int, width: int) -> tuple[int, int]:
    """(height, width) of the small map."""
    factor = factor_of(height, width)
    return math.ceil(height / factor), math.ceil(width / factor)


def lay_map(canvas: npt.NDArray[np.float32], rows: npt.NDArray[np.float32], top: int, factor: int) -> None:
    """Take map rows (n, W) that begin at scene row `top` into the canvas; NaN, no data, never hides a value."""
    if not len(rows):
        return
    across = np.fmax.reduceat(rows, np.arange(0, rows.shape[1], factor), axis=1)
    places = np.arange(top, top + len(rows)) // factor
    first = np.flatnonzero(np.diff(places, prepend=-1))
    found = np.fmax.reduceat(across, first, axis=0)
    canvas[places[first]] = np.fmax(canvas[places[first]], found)


def lay_pixels(thumbnail: npt.NDArray[np.generic], patch: Patch, top: int, left: int, factor: int) -> None:
    """Take the pixels of a patch at scene row `top` and column `left` that stand for their square; at most 3 bands."""
    rows, columns = (np.arange(-start % factor, length, factor) for start, length in _sides(patch, top, left))
    if len(rows) and len(columns):
        bands = thumbnail.shape[2]
        down, across = (top + rows) // factor, (left + columns) // factor
        thumbnail[np.ix_(down, across)] = patch.pixels[np.ix_(rows, columns)][..., :bands]


def _sides(patch: Patch, top: int, left: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (top, patch.pixels.shape[0]), (left, patch.pixels.shape[1])
