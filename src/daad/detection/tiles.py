"""Boxes in images cut into tiles: which tiles are learnt from, and which tile answers for a box that several see.

Tiles overlap, and a box belongs to the tile in whose own part its centre lies: that part ends in the middle of the
overlap with the next tile. So every box no larger than the overlap is seen whole by the tile that answers for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from daad.data.tiles import Tiling, Window

ENOUGH, MOST = 1024, 4096  # training tiles: draw again until there are enough, a part where there are more than most
MOST_ROUNDS = 16
MOST_BYTES = 2**30
EMPTY = 0.5  # tiles drawn anywhere, for every one drawn around a box
SLACK = 0.125  # of the overlap: two tiles may each see the centre of a box on the other's side

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Owner(NamedTuple):
    """The part of an image (left, top, right, bottom) whose boxes a tile answers for."""

    left: float
    top: float
    right: float
    bottom: float

    def owns(self, corners: Floats) -> npt.NDArray[np.bool_]:
        """Which boxes (N, 4) have their centre there, (N,)."""
        x, y = (corners[:, 0] + corners[:, 2]) / 2, (corners[:, 1] + corners[:, 3]) / 2
        inside: npt.NDArray[np.bool_] = (x >= self.left) & (x <= self.right) & (y >= self.top) & (y <= self.bottom)
        return inside


def owned(starts: Sequence[int], side: int) -> dict[int, tuple[float, float]]:
    """For each start of a row or column of tiles, from where to where it answers; a little more than its own part, what
    is found twice is suppressed later. The first and the last reach past the image."""
    ends = dict.fromkeys(starts, (-np.inf, np.inf))
    for first, second in pairwise(starts):
        shared = first + side - second
        middle = second + shared / 2
        ends[first] = (ends[first][0], middle + SLACK * shared)
        ends[second] = (middle - SLACK * shared, np.inf)
    return ends


def drawn_windows(
    sizes: Sequence[tuple[int, int]], boxes: Sequence[Floats], tiling: Tiling, seed: int, tile_bytes: int
) -> list[list[Window]]:
    """Training tiles of images of these (height, width): for every box one that holds it, at a place by chance, and
    half as many anywhere, at least one an image; several times over where the boxes are few."""
    rng = np.random.default_rng(seed)
    count = sum(len(own) for own in boxes)
    rounds = int(np.clip(-(-ENOUGH // max(count, 1)), 1, MOST_ROUNDS))
    places = [
        (image, *_corner(rng, box, size, tiling))
        for _ in range(rounds)
        for image, (size, own) in enumerate(zip(sizes, boxes, strict=True))
        for box in [*own, *[None] * max(1, round(EMPTY * len(own)))]
    ]
    most = max(1, min(MOST, MOST_BYTES // tile_bytes))
    if len(places) > most:
        places = [places[place] for place in rng.choice(len(places), most, replace=False)]
    found: list[list[Window]] = [[] for _ in sizes]
    for image, top, left in sorted(set(places)):
        found[image].append(Window(top, left, tiling.height, tiling.width))
    return found


def _corner(rng: np.random.Generator, box: Floats | None, size: tuple[int, int], tiling: Tiling) -> tuple[int, int]:
    """(top, left) of a tile inside the image; of one that holds as much of `box` as it can."""
    left, top, right, bottom = (None,) * 4 if box is None else box.tolist()
    return (
        _start(rng, top, bottom, size[0], tiling.height),
        _start(rng, left, right, size[1], tiling.width),
    )


def _start(rng: np.random.Generator, low: float | None, high: float | None, length: int, side: int) -> int:
    last = length - side
    if low is None or high is None:
        return int(rng.integers(0, last + 1))
    ends = sorted((int(np.ceil(high)) - side, int(np.floor(low))))
    first, final = (min(max(end, 0), last) for end in ends)
    return int(rng.integers(first, final + 1))


def cut(boxes: Floats, labels: Ints, window: Window) -> tuple[Floats, Ints]:
    """The boxes whose centre lies in a tile, clipped to it and in its pixels, and their classes."""
    top, left, height, width = window
    moved = boxes - [left, top, left, top]
    centre = (moved[:, :2] + moved[:, 2:]) / 2
    inside = ((centre >= 0) & (centre < [width, height])).all(axis=1)
    clipped: Floats = moved[inside].clip(0, [width, height, width, height])
    return clipped, labels[inside]
