"""An image judged tile by tile at its full resolution: rows of tiles, each a score and a map, top to bottom.

Scene -> strips of a few tiles (read ahead in a thread) -> Preprocess -> model -> TileRow
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from daad.data.ahead import in_order
from daad.data.decode import MAX_PIXELS
from daad.data.gaps import broad, filled
from daad.data.preprocess import Preprocess, resize_map
from daad.data.sample import Sample
from daad.data.scenes import Patch, Scene, open_scene
from daad.data.tiles import Tiling, Window
from daad.detector.scorer import score_batch
from daad.errors import ImageError
from daad.models.base import AnomalyModel
from daad.scoring.blend import Blend

BATCH_PIXELS = 2**19  # model pixels scored at once
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


class TileMap(NamedTuple):
    """A tile's map (h, w) over image pixels, and where it counts (None: everywhere)."""

    left: int
    values: Floats
    valid: Bools | None


@dataclass(frozen=True)
class TileRow:
    """A row of tiles: `scores` (n,) are NaN for tiles that were not judged; `maps` are of the judged ones. `strips` are
    the pixels that were read for it, each with its left edge."""

    top: int
    lefts: list[int]
    scores: npt.NDArray[np.float64]
    maps: list[TileMap]
    strips: list[tuple[int, Patch]]


def tile_rows(
    model: AnomalyModel,
    preprocess: Preprocess,
    scene: Scene,
    tiling: Tiling,
    *,
    max_no_data: float = 0.0,
    first: int = 0,
) -> Iterator[TileRow]:
    """Judge a scene's tiles from tile row `first` on; memory holds a row of tiles at a time.

    A tile of which more than the share `max_no_data` is no data is not judged; in others, and where single pixels or
    lines are missing, the nearest pixels fill the gap, which does not count in the map. Raises ImageError.
    """
    tops, lefts = tiling.grid(scene.info.height, scene.info.width, scene.info.name)
    count = max(1, BATCH_PIXELS // (preprocess.height * preprocess.width))
    parts = [lefts[i : i + count] for i in range(0, len(lefts), count)]
    work = [(top, part) for top in tops[first:] for part in parts]

    def prepare(item: tuple[int, list[int]]) -> _Strip:
        top, part = item
        patch = scene.read(Window(top, part[0], tiling.height, part[-1] + tiling.width - part[0]))
        return _cut(patch, part, tiling, preprocess, max_no_data, scene.info.name)

    strips = in_order(prepare, work, workers=1, ahead=2)
    for top in tops[first:]:
        row = TileRow(top, lefts, np.full(len(lefts), np.nan), [], [])
        for number, part in enumerate(parts):
            strip = next(strips)
            row.strips.append((part[0], strip.patch))
            if not strip.chosen:
                continue
            scored = score_batch(model, preprocess, strip.tiles)
            for index, score, found in zip(strip.chosen, scored.score.tolist(), scored.anomaly_map, strict=True):
                row.scores[number * count + index] = score
                values = found if found.shape == (tiling.height, tiling.width) else _to_tile(found, tiling)
                row.maps.append(TileMap(part[index], values, strip.valid_of(part[index], tiling)))
        yield row


class Judged(NamedTuple):
    """An image's score, the highest of its tiles', and its map (H, W): those of its tiles blended, 0 where there is no
    data."""

    score: float
    anomaly_map: Floats


def judge_whole(model: AnomalyModel, preprocess: Preprocess, sample: Sample) -> Judged:
    """Judge an image tile by tile, with its map in memory. Raises ImageError."""
    assert preprocess.tiles is not None
    with open_scene(sample) as scene:
        height, width = scene.info.height, scene.info.width
        if height * width > MAX_PIXELS:
            raise ImageError(
                f"{sample.name}: {width}x{height} pixels are more than the {MAX_PIXELS:,} of which a whole map is "
                "held; use daad search"
            )
        full = np.zeros((height, width), np.float32)
        blend = blend_of(width, preprocess.tiles)
        score, done = -np.inf, 0
        for row in tile_rows(model, preprocess, scene, preprocess.tiles):
            done = _lay(full, done, blend.move_to(row.top))
            for tile in row.maps:
                blend.add(tile.left, tile.values, tile.valid)
            score = max(score, float(np.fmax.reduce(row.scores, initial=-np.inf)))
        _lay(full, done, blend.move_to(height))
    if not np.isfinite(score):
        raise ImageError(f"{sample.name}: no tile of it is free of missing data, so it cannot be judged")
    return Judged(score, full)


def _lay(full: Floats, done: int, rows: Floats) -> int:
    full[done : done + len(rows)] = np.nan_to_num(rows, copy=False)
    return done + len(rows)


def blend_of(width: int, tiling: Tiling) -> Blend:
    """The blend of a tiling's maps over an image of `width` pixels."""
    down, across = tiling.step
    return Blend(width, (tiling.height, tiling.width), (tiling.height - down, tiling.width - across))


@dataclass(frozen=True)
class _Strip:
    """Neighbouring tiles of a row: the judged ones (by index) as the model takes them."""

    patch: Patch
    left: int
    chosen: list[int]
    tiles: npt.NDArray[Any]

    def valid_of(self, left: int, tiling: Tiling) -> Bools | None:
        if self.patch.valid is None:
            return None
        return self.patch.valid[:, left - self.left : left - self.left + tiling.width]


def _cut(
    patch: Patch, lefts: list[int], tiling: Tiling, preprocess: Preprocess, max_no_data: float, name: str
) -> _Strip:
    pixels, gaps = patch.pixels, None
    if patch.valid is not None and patch.valid.any():
        pixels, gaps = filled(pixels, patch.valid), broad(~patch.valid)
    elif patch.valid is not None:
        return _Strip(patch, lefts[0], [], np.empty(0))
    chosen, tiles = [], []
    for index, left in enumerate(lefts):
        place = slice(left - lefts[0], left - lefts[0] + tiling.width)
        if gaps is not None and float(gaps[:, place].mean()) > max_no_data:
            continue
        chosen.append(index)
        tiles.append(preprocess.apply(pixels[:, place], name=name))
    return _Strip(patch, lefts[0], chosen, np.stack(tiles) if tiles else np.empty(0))


def _to_tile(found: Floats, tiling: Tiling) -> Floats:
    return resize_map(found, (tiling.height, tiling.width))
