"""A scene's tiles, a few neighbours at a time and read ahead, as a model takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from daad.data.no_data import broad, filled
from daad.data.patches import Patch
from daad.data.prefetch import in_order
from daad.data.preprocess import Preprocess
from daad.data.scenes import Scene
from daad.data.tiles import Tiling, Window

BATCH_PIXELS = 2**19  # model pixels judged at once
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Strip:
    """Neighbouring tiles of a row that begins at `top`: the pixels that hold them, the left edges of all, which of
    them are judged, and those, prepared (n, h, w, C)."""

    top: int
    lefts: list[int]
    patch: Patch
    chosen: list[int]
    tiles: npt.NDArray[Any]

    def valid_of(self, index: int, tiling: Tiling) -> Bools | None:
        """Where the pixels of a tile are real, None where all are."""
        if self.patch.valid is None:
            return None
        start = self.lefts[index] - self.lefts[0]
        return self.patch.valid[:, start : start + tiling.width]


def read_strips(
    scene: Scene, tiling: Tiling, preprocess: Preprocess, *, max_no_data: float = 0.0, first: int = 0
) -> Iterator[Strip]:
    """All tiles of a scene from tile row `first` on, row by row; at most three strips are in memory.

    A tile of which more than the share `max_no_data` is no data is not chosen; in others, and where single pixels or
    lines are missing, the nearest pixels fill the gap. Raises ImageError.
    """
    tops, lefts = tiling.grid(scene.info.height, scene.info.width, scene.info.name)
    count = max(1, BATCH_PIXELS // (preprocess.height * preprocess.width))
    parts = [lefts[i : i + count] for i in range(0, len(lefts), count)]
    work = [(top, part) for top in tops[first:] for part in parts]

    def prepare(item: tuple[int, list[int]]) -> Strip:
        top, part = item
        patch = scene.read(Window(top, part[0], tiling.height, part[-1] + tiling.width - part[0]))
        return _cut(patch, top, part, tiling, preprocess, max_no_data, scene.info.name)

    return in_order(prepare, work, workers=1, ahead=2)


def _cut(
    patch: Patch,
    top: int,
    lefts: list[int],
    tiling: Tiling,
    preprocess: Preprocess,
    max_no_data: float,
    name: str,
) -> Strip:
    pixels, gaps = patch.pixels, None
    if patch.valid is not None and patch.valid.any():
        pixels, gaps = filled(pixels, patch.valid), broad(~patch.valid)
    elif patch.valid is not None:
        return Strip(top, lefts, patch, [], np.empty(0))
    chosen, tiles = [], []
    for index, left in enumerate(lefts):
        place = slice(left - lefts[0], left - lefts[0] + tiling.width)
        if gaps is not None and float(gaps[:, place].mean()) > max_no_data:
            continue
        chosen.append(index)
        tiles.append(preprocess.apply(pixels[:, place], name=name))
    return Strip(top, lefts, patch, chosen, np.stack(tiles) if tiles else np.empty(0))
