"""A scene's tiles as batches of neighbours in a row, read ahead in a thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from daad.data.patches import Bools, Patch, fill_nearest, large_gaps
from daad.data.prefetch import in_order
from daad.data.preprocess import Preprocess
from daad.data.scenes import Scene
from daad.data.tiles import Tiling, Window

BATCH_PIXELS = 2**19  # model pixels judged at once


@dataclass(frozen=True)
class TileStrip:
    """Neighbouring tiles of a row.

    `top` is the row's first pixel and `lefts` the first column of every tile. `patch` holds their pixels. `chosen` are
    the indices of the tiles with enough data, and `tiles` (n, h, w, C) those tiles, preprocessed.
    """

    top: int
    lefts: list[int]
    patch: Patch
    chosen: list[int]
    tiles: npt.NDArray[Any]

    def valid_of(self, index: int, tiling: Tiling) -> Bools | None:
        """The mask of a tile's pixels that hold data; None where all do."""
        if self.patch.valid is None:
            return None
        start = self.lefts[index] - self.lefts[0]
        return self.patch.valid[:, start : start + tiling.width]


def read_strips(
    scene: Scene, tiling: Tiling, preprocess: Preprocess, *, max_no_data: float = 0.0, first: int = 0
) -> Iterator[TileStrip]:
    """The tiles of a scene, row by row; at most three strips are in memory.

    Missing pixels of a chosen tile are filled from the nearest ones.

    Args:
        scene: an open scene.
        tiling: how it is cut.
        preprocess: applied to every tile.
        max_no_data: a tile is not chosen if a larger share of it, in [0, 1), is borders or holes without data.
        first: the first row of tiles.

    Raises:
        ImageError: the scene is smaller than a tile, or damaged.
    """
    tops, lefts = tiling.grid(scene.info.height, scene.info.width, scene.info.name)
    batch_size = max(1, BATCH_PIXELS // (preprocess.height * preprocess.width))
    batches = [lefts[i : i + batch_size] for i in range(0, len(lefts), batch_size)]
    strips = [(top, batch) for top in tops[first:] for batch in batches]

    def read(strip: tuple[int, list[int]]) -> TileStrip:
        top, batch = strip
        patch = scene.read(Window(top, batch[0], tiling.height, batch[-1] + tiling.width - batch[0]))
        chosen, tiles = _cut(patch, [left - batch[0] for left in batch], tiling.width, max_no_data)
        prepared = [preprocess.apply(tile, name=scene.info.name) for tile in tiles]
        return TileStrip(top, batch, patch, chosen, np.stack(prepared) if prepared else np.empty(0))

    return in_order(read, strips, workers=1, ahead=2)


def _cut(patch: Patch, starts: list[int], width: int, max_no_data: float) -> tuple[list[int], list[npt.NDArray[Any]]]:
    """The tiles that begin at columns `starts` and have enough data: their indices and pixels."""
    pixels, gaps = patch.pixels, None
    if patch.valid is not None:
        if not patch.valid.any():
            return [], []
        pixels, gaps = fill_nearest(pixels, patch.valid), large_gaps(~patch.valid)
    columns = [slice(start, start + width) for start in starts]
    chosen = [index for index, tile in enumerate(columns) if gaps is None or float(gaps[:, tile].mean()) <= max_no_data]
    return chosen, [pixels[:, columns[index]] for index in chosen]
