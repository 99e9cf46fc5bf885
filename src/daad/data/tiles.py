"""Tiles: windows of one size that cover an image at full resolution, overlapping; and which are learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from daad.errors import ConfigError, ImageError

MIN_SIDE, MAX_SIDE = 8, 4096
ENOUGH, MOST = 4096, 16_384  # training tiles: overlap until there are enough, draw where there are more than most
FINEST = 8  # training tiles overlap up to a step of an eighth of their side
BLOCK = 4  # tiles a side of a block that is held out as one
MOST_BYTES = 2**30
MOST_JUDGED = 50_000_000  # tiles of one image


class Window(NamedTuple):
    """A rectangle of an image in pixels."""

    top: int
    left: int
    height: int
    width: int


class Tiling(BaseModel):
    """Tiles of `height` x `width` image pixels; neighbours share `overlap` of their side, and the last ones of a row or
    column are moved back inside, so every pixel is covered and none is invented."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(ge=MIN_SIDE, le=MAX_SIDE)
    width: int = Field(ge=MIN_SIDE, le=MAX_SIDE)
    overlap: float = Field(0.25, ge=0, le=0.9)

    @classmethod
    def of(cls, tile: int | Sequence[int], overlap: float = 0.25) -> Self:
        """From a side or (height, width). Raises ConfigError."""
        sides = list(tile) if isinstance(tile, Sequence) else [tile, tile]
        whole = len(sides) == 2 and all(isinstance(side, int) and MIN_SIDE <= side <= MAX_SIDE for side in sides)
        if not whole or not 0 <= overlap <= 0.9:
            raise ConfigError(
                f"tile={tile!r}, overlap={overlap!r}: give a side or (height, width) from {MIN_SIDE} to {MAX_SIDE} "
                "pixels, and an overlap from 0 to 0.9"
            )
        return cls(height=sides[0], width=sides[1], overlap=overlap)

    @property
    def step(self) -> tuple[int, int]:
        """Pixels from a tile to the next, (down, across)."""
        return max(1, round(self.height * (1 - self.overlap))), max(1, round(self.width * (1 - self.overlap)))

    def grid(self, height: int, width: int, name: str = "image") -> tuple[list[int], list[int]]:
        """The tops of tile rows and lefts of tile columns that cover an image; ImageError if it is smaller than a
        tile."""
        if height < self.height or width < self.width:
            raise ImageError(
                f"{name}: {width}x{height} pixels are less than a tile of {self.width}x{self.height}; give a larger "
                "image, or fit with a smaller tile"
            )
        down, across = self.step
        count = (-(-(height - self.height) // down) + 1) * (-(-(width - self.width) // across) + 1)
        if count > MOST_JUDGED:
            raise ImageError(
                f"{name}: {width}x{height} pixels would be {count:,} tiles, more than {MOST_JUDGED:,}; take larger "
                "tiles or less overlap, or cut it"
            )
        return _starts(height, self.height, down), _starts(width, self.width, across)


def training_windows(
    sizes: Sequence[tuple[int, int]], tiling: Tiling, seed: int, *, blocks: bool, tile_bytes: int
) -> list[list[Window]]:
    """The tiles of images of these (height, width) that are learned from, row by row.

    Side by side where that gives enough of them, else overlapping by halves until it does; where there are too many, a
    draw. With `blocks` a tile never straddles two blocks (see `block_of`), so blocks share no pixel.
    """
    most = max(1, min(MOST, MOST_BYTES // tile_bytes))
    divisor = 1
    while True:
        grids = [
            (_side(height, tiling.height, divisor, blocks), _side(width, tiling.width, divisor, blocks))
            for height, width in sizes
        ]
        ends = np.cumsum([len(rows) * len(columns) for rows, columns in grids])
        total = int(ends[-1])
        if divisor == FINEST or total >= min(ENOUGH, most):
            break
        divisor *= 2
    rng = np.random.default_rng(seed)
    chosen = np.arange(total) if total <= most else np.sort(rng.choice(total, most, replace=False, shuffle=False))
    found = []
    for (rows, columns), end in zip(grids, ends.tolist(), strict=True):
        start = end - len(rows) * len(columns)
        part = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, end)] - start
        places = (divmod(index, len(columns)) for index in part.tolist())
        found.append([Window(rows[i], columns[j], tiling.height, tiling.width) for i, j in places])
    return found


def block_of(window: Window, tiling: Tiling) -> tuple[int, int]:
    """The block of a training tile: squares of BLOCK tiles a side."""
    return window.top // (BLOCK * tiling.height), window.left // (BLOCK * tiling.width)


def _side(length: int, tile: int, divisor: int, blocks: bool) -> list[int]:
    starts = range(0, length - tile + 1, max(1, tile // divisor))
    return [start for start in starts if not blocks or start % (BLOCK * tile) + tile <= BLOCK * tile]


def _starts(length: int, side: int, step: int) -> list[int]:
    count = math.ceil((length - side) / step)
    return [*(step * i for i in range(count)), length - side]
