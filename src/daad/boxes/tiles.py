"""Boxes in images cut into tiles: which tiles are learnt from, and which tile answers for a box that several see.

Tiles overlap, and a box belongs to the tile in whose own part its centre lies: that part ends in the middle of the
overlap with the next tile. So every box no larger than the overlap is seen whole by the tile that answers for it. A
little beyond its part a tile answers too, for boxes that it sees whole; what is found twice is suppressed later.
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
BOXED = 2 / 3  # of the training tiles, at most, are drawn around boxes where others are to be had
EMPTY = 0.5  # tiles drawn anywhere, for every one drawn around a box
SLACK = 0.125  # of the overlap: two tiles may each see the centre of a box on the other's side
EDGE = 1.0  # pixels: a box that comes nearer to a tile's edge may be cut there

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Part(NamedTuple):
    """Of a row or column of tiles: where it lies, what is its own (reaching past the image at the first and the last),
    and how far beyond it answers for what it sees whole."""

    start: float
    end: float
    own: tuple[float, float]
    slack: tuple[float, float]

    def answers(self, low: Floats, high: Floats) -> npt.NDArray[np.bool_]:
        """For which boxes from `low` to `high` (N,), in pixels of the image."""
        centre = (low + high) / 2
        mine = (centre >= self.own[0]) & (centre <= self.own[1])
        near = (centre >= self.own[0] - self.slack[0]) & (centre <= self.own[1] + self.slack[1])
        found: npt.NDArray[np.bool_] = mine | (near & (low >= self.start + EDGE) & (high <= self.end - EDGE))
        return found


def parts_of(starts: Sequence[int], side: int) -> dict[int, Part]:
    """The part of each tile of a row or column that begins at these places."""
    shared = [first + side - second for first, second in pairwise(starts)]
    middles = [-np.inf, *(second + each / 2 for second, each in zip(starts[1:], shared, strict=True)), np.inf]
    slack = [0.0, *(SLACK * each for each in shared), 0.0]
    return {
        start: Part(start, start + side, (middles[i], middles[i + 1]), (slack[i], slack[i + 1]))
        for i, start in enumerate(starts)
    }


def drawn_windows(
    sizes: Sequence[tuple[int, int]], boxes: Sequence[Floats], tiling: Tiling, seed: int, tile_bytes: int
) -> list[list[Window]]:
    """Training tiles of images of these (height, width): for every box one that holds it, at a place by chance, several
    times over where the boxes are few; and half as many anywhere, at least one an image.

    Where they are too many, others give way before those with boxes, down to a third, and each box comes once before
    any comes twice.
    """
    rng = np.random.default_rng(seed)
    count = sum(len(own) for own in boxes)
    rounds = int(np.clip(-(-ENOUGH // max(count, 1)), 1, MOST_ROUNDS))
    most = max(1, min(MOST, MOST_BYTES // tile_bytes))
    boxed: list[tuple[int, int, int]] = []
    for _ in range(rounds):
        places = [(image, box) for image, own in enumerate(boxes) for box in own]
        order = rng.permutation(len(places))
        boxed += [(places[i][0], *_corner(rng, places[i][1], sizes[places[i][0]], tiling)) for i in order]
    anywhere = [
        (image, *_corner(rng, None, size, tiling))
        for image, (size, own) in enumerate(zip(sizes, boxes, strict=True))
        for _ in range(max(1, round(EMPTY * rounds * len(own))))
    ]
    boxed = boxed[: max(round(BOXED * most), most - len(anywhere))]
    chosen = rng.permutation(len(anywhere))[: most - len(boxed)]
    found: list[list[Window]] = [[] for _ in sizes]
    for image, top, left in sorted({*boxed, *(anywhere[place] for place in chosen)}):
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
    """What a tile shows of the boxes, clipped to it and in its pixels, and their classes: of those whose centre lies in
    it, and pieces as long as half its side of those that are longer than it."""
    top, left, height, width = window
    clipped, inside = _clipped(boxes, window)
    long = (boxes[:, 2:] - boxes[:, :2]) > [width, height]
    piece = (clipped[:, 2:] - clipped[:, :2]).clip(0)
    shown = inside | (piece.all(axis=1) & (long & (piece >= [width / 2, height / 2])).any(axis=1))
    return clipped[shown] - [left, top, left, top], labels[shown]


def held(boxes: Floats, windows: Sequence[Window]) -> npt.NDArray[np.bool_]:
    """Which boxes (N, 4) have their centre in one of these tiles."""
    found = np.zeros(len(boxes), dtype=bool)
    for window in windows:
        found |= _clipped(boxes, window)[1]
    return found


def _clipped(boxes: Floats, window: Window) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Boxes clipped to a tile, and whether their centre lies in it."""
    low = np.array([window.left, window.top], np.float64)
    high = low + np.array([window.width, window.height])
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside: npt.NDArray[np.bool_] = ((centre >= low) & (centre < high)).all(axis=1)
    return boxes.clip(np.tile(low, 2), np.tile(high, 2)), inside
