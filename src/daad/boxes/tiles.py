"""Boxes in images cut into tiles: the training tiles, and which tile is responsible for a box in an overlap.

Tiles overlap. A tile is responsible for the boxes whose centre lies in its share of the image, which ends in the middle
of the overlap with the next tile. So a box no larger than the overlap lies completely in the tile responsible for it.
Slightly beyond its share a tile is responsible too, for boxes that lie completely in it; duplicates are suppressed
later.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from daad.data.tiles import Tiling, Window

ENOUGH_TILES, MOST_TILES = 1024, 4096  # training tiles: sampled repeatedly up to the first, at most the second
MOST_ROUNDS = 16
MOST_BYTES = 2**30
BOX_TILES = 2 / 3  # largest share of the training tiles sampled around boxes, where there are others
RANDOM_TILES = 0.5  # tiles sampled anywhere, for each one sampled around a box
SLACK = 0.125  # share of the overlap: two tiles may each place the centre of a box on the other's side
EDGE = 1.0  # pixels: a box nearer to a tile's edge may be cut there

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class TileShare(NamedTuple):
    """The pixels along one axis for which a tile is responsible, all in pixels of the image.

    Args:
        start: the tile's first pixel.
        end: one past the tile's last pixel.
        share: (low, high) of the box centres for which it is responsible; infinite at the image's border.
        slack: how far beyond both ends of `share` it is responsible for boxes that lie completely in the tile.
    """

    start: float
    end: float
    share: tuple[float, float]
    slack: tuple[float, float]

    def responsible_for(self, low: Floats, high: Floats) -> npt.NDArray[np.bool_]:
        """Whether the tile is responsible for boxes that reach from `low` to `high` (N,) along the axis."""
        centre = (low + high) / 2
        inside = (centre >= self.share[0]) & (centre <= self.share[1])
        near = (centre >= self.share[0] - self.slack[0]) & (centre <= self.share[1] + self.slack[1])
        responsible: npt.NDArray[np.bool_] = inside | (near & (low >= self.start + EDGE) & (high <= self.end - EDGE))
        return responsible


def tile_shares(starts: Sequence[int], side: int) -> dict[int, TileShare]:
    """The share of each tile along one axis, by the tile's first pixel; tiles are `side` pixels long."""
    overlaps = [first + side - second for first, second in pairwise(starts)]
    middles = [-np.inf, *(second + overlap / 2 for second, overlap in zip(starts[1:], overlaps, strict=True)), np.inf]
    slack = [0.0, *(SLACK * overlap for overlap in overlaps), 0.0]
    return {
        start: TileShare(start, start + side, (middles[i], middles[i + 1]), (slack[i], slack[i + 1]))
        for i, start in enumerate(starts)
    }


def sample_windows(
    sizes: Sequence[tuple[int, int]], boxes: Sequence[Floats], tiling: Tiling, seed: int, tile_bytes: int
) -> list[list[Window]]:
    """Training tiles at random positions: around each box, and anywhere.

    Around every box one tile is sampled that holds it, or several where boxes are few. Half as many are sampled
    anywhere, at least one in each image. Where they are too many, those anywhere are dropped first, down to a third of
    all; and each box keeps one tile before any keeps two.

    Args:
        sizes: (height, width) of each image in pixels.
        boxes: of each image (N, 4), in pixels of the image.
        tiling: the size of the tiles.
        seed: the same seed gives the same tiles.
        tile_bytes: memory of a prepared tile; all tiles together hold at most 1 GiB.

    Returns:
        The tiles of each image, top to bottom, none twice.
    """
    rng = np.random.default_rng(seed)
    count = sum(len(image_boxes) for image_boxes in boxes)
    rounds = int(np.clip(-(-ENOUGH_TILES // max(count, 1)), 1, MOST_ROUNDS))
    most = max(1, min(MOST_TILES, MOST_BYTES // tile_bytes))
    around_boxes: list[tuple[int, int, int]] = []
    for _ in range(rounds):
        all_boxes = [(image, box) for image, image_boxes in enumerate(boxes) for box in image_boxes]
        order = rng.permutation(len(all_boxes))
        around_boxes += [
            (all_boxes[i][0], *_random_corner(rng, all_boxes[i][1], sizes[all_boxes[i][0]], tiling)) for i in order
        ]
    anywhere = [
        (image, *_random_corner(rng, None, size, tiling))
        for image, (size, image_boxes) in enumerate(zip(sizes, boxes, strict=True))
        for _ in range(max(1, round(RANDOM_TILES * rounds * len(image_boxes))))
    ]
    around_boxes = around_boxes[: max(round(BOX_TILES * most), most - len(anywhere))]
    chosen = rng.permutation(len(anywhere))[: most - len(around_boxes)]
    windows: list[list[Window]] = [[] for _ in sizes]
    for image, top, left in sorted({*around_boxes, *(anywhere[index] for index in chosen)}):
        windows[image].append(Window(top, left, tiling.height, tiling.width))
    return windows


def _random_corner(
    rng: np.random.Generator, box: Floats | None, size: tuple[int, int], tiling: Tiling
) -> tuple[int, int]:
    """(top, left) of a random tile inside the image; with `box`, of one that holds as much of it as it can."""
    left, top, right, bottom = (None,) * 4 if box is None else box.tolist()
    return (
        _random_start(rng, top, bottom, size[0], tiling.height),
        _random_start(rng, left, right, size[1], tiling.width),
    )


def _random_start(rng: np.random.Generator, low: float | None, high: float | None, length: int, side: int) -> int:
    last = length - side
    if low is None or high is None:
        return int(rng.integers(0, last + 1))
    ends = sorted((int(np.ceil(high)) - side, int(np.floor(low))))
    first, final = (min(max(end, 0), last) for end in ends)
    return int(rng.integers(first, final + 1))


def crop_boxes(boxes: Floats, labels: Ints, window: Window) -> tuple[Floats, Ints]:
    """The boxes (N, 4) and classes (N,) of a tile, clipped to it, in pixels of the tile.

    A box belongs to the tile if its centre lies in it. A box longer than the tile belongs to it too, if the piece in
    the tile is at least half the tile's side long.
    """
    top, left, height, width = window
    clipped, inside = _clipped(boxes, window)
    long = (boxes[:, 2:] - boxes[:, :2]) > [width, height]
    piece = (clipped[:, 2:] - clipped[:, :2]).clip(0)
    belongs = inside | (piece.all(axis=1) & (long & (piece >= [width / 2, height / 2])).any(axis=1))
    return clipped[belongs] - [left, top, left, top], labels[belongs]


def centre_in_any(boxes: Floats, windows: Sequence[Window]) -> npt.NDArray[np.bool_]:
    """Which boxes (N, 4) have their centre in one of these tiles."""
    inside = np.zeros(len(boxes), dtype=bool)
    for window in windows:
        inside |= _clipped(boxes, window)[1]
    return inside


def _clipped(boxes: Floats, window: Window) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Boxes clipped to a tile, and whether their centre lies in it."""
    low = np.array([window.left, window.top], np.float64)
    high = low + np.array([window.width, window.height])
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside: npt.NDArray[np.bool_] = ((centre >= low) & (centre < high)).all(axis=1)
    return boxes.clip(np.tile(low, 2), np.tile(high, 2)), inside
