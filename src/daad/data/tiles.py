"""Tiles: overlapping windows of one size that cover an image at full resolution; and the tiles for training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from daad.errors import ConfigError, ImageError

MIN_SIDE, MAX_SIDE = 8, 4096
MIN_TRAINING_TILES = 4096  # training tiles overlap until there are so many
MAX_TRAINING_TILES = 16_384  # of more, so many are drawn
MAX_TRAINING_BYTES = 2**30
MAX_STEP_DIVISOR = 8  # training tiles overlap up to a step of an eighth of their side
BLOCK_TILES = 4  # tiles a side of a block that is held out as one
MAX_TILES = 50_000_000  # of one image


class Window(NamedTuple):
    """A rectangle of an image in pixels."""

    top: int
    left: int
    height: int
    width: int


class Tiling(BaseModel):
    """Tiles of `height` x `width` image pixels, neighbours of which share the fraction `overlap` of their side.

    The last ones of a row or column are moved back inside, so every pixel is covered and none is padded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(ge=MIN_SIDE, le=MAX_SIDE)
    width: int = Field(ge=MIN_SIDE, le=MAX_SIDE)
    overlap: float = Field(0.25, ge=0, le=0.9)

    @classmethod
    def of(cls, tile: int | Sequence[int], overlap: float = 0.25) -> Self:
        """Make a tiling from a side or (height, width) in pixels and an overlap in [0, 0.9]. Raises ConfigError."""
        sides = list(tile) if isinstance(tile, Sequence) else [tile, tile]
        is_valid = len(sides) == 2 and all(isinstance(side, int) and MIN_SIDE <= side <= MAX_SIDE for side in sides)
        if not is_valid or not 0 <= overlap <= 0.9:
            raise ConfigError(
                f"tile={tile!r}, overlap={overlap!r}: give a side or (height, width) from {MIN_SIDE} to {MAX_SIDE} "
                "pixels, and an overlap from 0 to 0.9"
            )
        return cls(height=sides[0], width=sides[1], overlap=overlap)

    @property
    def step(self) -> tuple[int, int]:
        """Pixels from a tile to the next, (vertical, horizontal)."""
        return max(1, round(self.height * (1 - self.overlap))), max(1, round(self.width * (1 - self.overlap)))

    def grid(self, height: int, width: int, name: str = "image") -> tuple[list[int], list[int]]:
        """The tops of tile rows and lefts of tile columns that cover an image (height, width) in pixels.

        Raises ImageError if it is smaller than a tile, or has too many.
        """
        if height < self.height or width < self.width:
            raise ImageError(
                f"{name}: {width}x{height} pixels are less than a tile of {self.width}x{self.height}; give a larger "
                "image, or fit with a smaller tile"
            )
        row_step, column_step = self.step
        count = (-(-(height - self.height) // row_step) + 1) * (-(-(width - self.width) // column_step) + 1)
        if count > MAX_TILES:
            raise ImageError(
                f"{name}: {width}x{height} pixels would be {count:,} tiles, more than {MAX_TILES:,}; take larger "
                "tiles or less overlap, or cut it"
            )
        return _starts(height, self.height, row_step), _starts(width, self.width, column_step)


def training_windows(
    sizes: Sequence[tuple[int, int]], tiling: Tiling, seed: int, *, blocks: bool, tile_bytes: int
) -> list[list[Window]]:
    """The tiles of images that are learned from.

    They do not overlap where that gives enough of them. Else their step is halved until it does. Of too many, as many
    as allowed are drawn at random.

    Args:
        sizes: (height, width) of every image in pixels.
        tiling: gives the size of tiles; its overlap is not used.
        seed: of the draw.
        blocks: whether every tile lies inside one block (see `block_of`), so that blocks share no pixel.
        tile_bytes: memory of a prepared tile, which limits their number.

    Returns:
        The windows of every image, row by row.
    """
    limit = max(1, min(MAX_TRAINING_TILES, MAX_TRAINING_BYTES // tile_bytes))
    divisor = 1
    while True:
        grids = [
            (
                _training_starts(height, tiling.height, divisor, blocks),
                _training_starts(width, tiling.width, divisor, blocks),
            )
            for height, width in sizes
        ]
        ends = np.cumsum([len(rows) * len(columns) for rows, columns in grids])
        total = int(ends[-1])
        if divisor == MAX_STEP_DIVISOR or total >= min(MIN_TRAINING_TILES, limit):
            break
        divisor *= 2
    rng = np.random.default_rng(seed)
    chosen = np.arange(total) if total <= limit else np.sort(rng.choice(total, limit, replace=False, shuffle=False))
    windows = []
    for (rows, columns), end in zip(grids, ends.tolist(), strict=True):
        start = end - len(rows) * len(columns)
        of_image = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, end)] - start
        cells = (divmod(index, len(columns)) for index in of_image.tolist())
        windows.append([Window(rows[i], columns[j], tiling.height, tiling.width) for i, j in cells])
    return windows


def block_of(window: Window, tiling: Tiling) -> tuple[int, int]:
    """The (row, column) of the block that a training tile lies in; a block is BLOCK_TILES tiles high and wide."""
    return window.top // (BLOCK_TILES * tiling.height), window.left // (BLOCK_TILES * tiling.width)


def _training_starts(length: int, tile: int, divisor: int, blocks: bool) -> list[int]:
    starts = range(0, length - tile + 1, max(1, tile // divisor))
    return [start for start in starts if not blocks or start % (BLOCK_TILES * tile) + tile <= BLOCK_TILES * tile]


def _starts(length: int, side: int, step: int) -> list[int]:
    count = math.ceil((length - side) / step)
    return [*(step * i for i in range(count)), length - side]
