"""An image judged tile by tile at its full resolution: rows of tiles, each a score and a map, top to bottom.

Scene -> strips of a few tiles (read ahead in a thread) -> Preprocess -> model -> TileRow
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from daad.data.decode import MAX_PIXELS
from daad.data.patches import Patch
from daad.data.preprocess import Preprocess, resize_map
from daad.data.sample import Sample
from daad.data.scenes import Scene, open_scene
from daad.data.strips import read_strips
from daad.data.tiles import Tiling
from daad.errors import ImageError
from daad.runtime.scorer import Scorer
from daad.scoring.blend import Blend

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
    scorer: Scorer,
    preprocess: Preprocess,
    scene: Scene,
    tiling: Tiling,
    *,
    max_no_data: float = 0.0,
    first: int = 0,
) -> Iterator[TileRow]:
    """Judge a scene's tiles, row by row; memory holds a row of tiles at a time.

    Where pixels or lines of a judged tile are missing, the nearest pixels fill the gap. It does not count in the map.

    Args:
        scorer: gives scores and maps of prepared tiles.
        preprocess: what a tile goes through before.
        scene: the image, read piece by piece.
        tiling: the tiles' size and overlap.
        max_no_data: a tile of which more than this share is no data is not judged; in [0, 1).
        first: the tile row to begin with.

    Raises:
        ImageError: the scene is smaller than a tile, or damaged.
    """
    strips = read_strips(scene, tiling, preprocess, max_no_data=max_no_data, first=first)
    for top, parts in groupby(strips, key=lambda strip: strip.top):
        lefts: list[int] = []
        scores: list[npt.NDArray[np.float64]] = []
        maps: list[TileMap] = []
        read: list[tuple[int, Patch]] = []
        for strip in parts:
            own = np.full(len(strip.lefts), np.nan)
            if strip.chosen:
                scored = scorer(strip.tiles)
                own[strip.chosen] = scored.score
                maps += [
                    TileMap(strip.lefts[index], _to_tile(anomaly_map, tiling), strip.valid_of(index, tiling))
                    for index, anomaly_map in zip(strip.chosen, scored.anomaly_map, strict=True)
                ]
            lefts += strip.lefts
            scores.append(own)
            read.append((strip.lefts[0], strip.patch))
        yield TileRow(top, lefts, np.concatenate(scores), maps, read)


class TiledScore(NamedTuple):
    """An image's score, the highest of its tiles', and its map (H, W): those of its tiles blended, 0 where there is no
    data."""

    score: float
    anomaly_map: Floats


def score_by_tiles(scorer: Scorer, preprocess: Preprocess, sample: Sample) -> TiledScore:
    """Score an image tile by tile, with its map in memory. Raises ImageError."""
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
        for row in tile_rows(scorer, preprocess, scene, preprocess.tiles):
            done = _lay(full, done, blend.move_to(row.top))
            for tile in row.maps:
                blend.add(tile.left, tile.values, tile.valid)
            score = max(score, float(np.fmax.reduce(row.scores, initial=-np.inf)))
        _lay(full, done, blend.move_to(height))
    if not np.isfinite(score):
        raise ImageError(f"{sample.name}: no tile of it is free of missing data, so it cannot be judged")
    return TiledScore(score, full)


def _lay(full: Floats, done: int, rows: Floats) -> int:
    full[done : done + len(rows)] = np.nan_to_num(rows, copy=False)
    return done + len(rows)


def blend_of(width: int, tiling: Tiling) -> Blend:
    """The blend of a tiling's maps over an image of `width` pixels."""
    down, across = tiling.step
    return Blend(width, (tiling.height, tiling.width), (tiling.height - down, tiling.width - across))


def _to_tile(anomaly_map: Floats, tiling: Tiling) -> Floats:
    shape = (tiling.height, tiling.width)
    return anomaly_map if anomaly_map.shape == shape else resize_map(anomaly_map, shape)
