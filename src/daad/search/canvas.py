"""A scene's overview: the highest map value, and one pixel, of every square of `factor` x `factor` pixels."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from daad.data.patches import Patch

MAP_SIDE = 2048  # longest side of the overview


def overview_factor(height: int, width: int) -> int:
    """The side, in scene pixels, of the square that one pixel of the overview stands for."""
    return math.ceil(max(height, width) / MAP_SIDE)


def overview_shape(height: int, width: int) -> tuple[int, int]:
    """(height, width) of the overview of a scene."""
    factor = overview_factor(height, width)
    return math.ceil(height / factor), math.ceil(width / factor)


def add_map_rows(overview: npt.NDArray[np.float32], rows: npt.NDArray[np.float32], top: int, factor: int) -> None:
    """Put the maxima of map rows into the overview; NaN, no data, never hides a value.

    Args:
        overview: the map of the scene in small (h, w), changed in place.
        rows: rows of the map at full resolution (n, W).
        top: the scene row of the first of them.
        factor: side of a square, see `overview_factor`.
    """
    if not len(rows):
        return
    column_maxima = np.fmax.reduceat(rows, np.arange(0, rows.shape[1], factor), axis=1)
    overview_rows = np.arange(top, top + len(rows)) // factor
    first = np.flatnonzero(np.diff(overview_rows, prepend=-1))
    maxima = np.fmax.reduceat(column_maxima, first, axis=0)
    overview[overview_rows[first]] = np.fmax(overview[overview_rows[first]], maxima)


def add_pixels(thumbnail: npt.NDArray[np.generic], patch: Patch, top: int, left: int, factor: int) -> None:
    """Put into the thumbnail the top left pixel of every square that lies in a patch.

    Args:
        thumbnail: the scene in small (h, w, bands), at most 3 bands, changed in place.
        patch: pixels of the scene.
        top: the scene row of its first pixel.
        left: the scene column of its first pixel.
        factor: side of a square, see `overview_factor`.
    """
    rows, columns = (np.arange(-start % factor, length, factor) for start, length in _sides(patch, top, left))
    if len(rows) and len(columns):
        bands = thumbnail.shape[2]
        target_rows, target_columns = (top + rows) // factor, (left + columns) // factor
        thumbnail[np.ix_(target_rows, target_columns)] = patch.pixels[np.ix_(rows, columns)][..., :bands]


def _sides(patch: Patch, top: int, left: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (top, patch.pixels.shape[0]), (left, patch.pixels.shape[1])
