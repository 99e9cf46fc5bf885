"""Maps of overlapping tiles laid into one without seams, row by row: what no further tile can reach is final."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Blend:
    """A weighted mean of tile maps over an image of `width` pixels, holding as many rows as a tile is high.

    A tile weighs 1 inside and falls off linearly over its overlap with the next, so that the mean passes from one tile
    to the other without a step. Tiles come from top to bottom; where none was added, the map is NaN.
    """

    def __init__(self, width: int, tile: tuple[int, int], ramp: tuple[int, int]) -> None:
        self._sum = np.zeros((tile[0], width), np.float32)
        self._weight = np.zeros((tile[0], width), np.float32)
        self._tile, self._ramp = tile, ramp
        self._top = 0

    def add(self, left: int, tile_map: Floats, valid: npt.NDArray[np.bool_] | None = None) -> None:
        """Lay a tile's map (h, w) at the current row; where `valid` is False it does not count."""
        weight = _weights(self._tile, self._ramp)
        if valid is not None:
            weight = weight * valid
        place = slice(left, left + self._tile[1])
        self._sum[:, place] += tile_map * weight
        self._weight[:, place] += weight

    def move_to(self, top: int) -> Floats:
        """Go down to the tile row that begins at `top`; gives the rows (n, width) from the last one to there, final."""
        count = min(top - self._top, self._tile[0])
        with np.errstate(invalid="ignore"):
            final = self._sum[:count] / self._weight[:count]  # 0 / 0 is NaN: nothing was judged there
        for held in (self._sum, self._weight):
            held[: len(held) - count] = held[count:].copy()
            held[len(held) - count :] = 0
        self._top = top
        return final


@cache
def _weights(tile: tuple[int, int], ramp: tuple[int, int]) -> Floats:
    down, across = (_trapezoid(side, width) for side, width in zip(tile, ramp, strict=True))
    return np.outer(down, across).astype(np.float32)


def _trapezoid(side: int, ramp: int) -> npt.NDArray[np.float64]:
    """Rises over `ramp` pixels from nearly 0 to 1, and falls again; two that overlap by `ramp` add up to 1."""
    rise = (np.arange(side) + 0.5) / max(ramp, 1)
    result: npt.NDArray[np.float64] = np.minimum(np.minimum(rise, rise[::-1]), 1.0) if ramp else np.ones(side)
    return result
