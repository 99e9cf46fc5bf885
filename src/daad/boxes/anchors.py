"""Which layer answers for which boxes, and the anchors it starts from.

training boxes -> a range of scales a layer -> a few shapes (width, height) a layer -> anchors at every cell

Source: SSD (Liu et al., ECCV 2016), section 2.2, for `ssd_shapes` and the published scales; ranges and shapes from the
training boxes are ours (the papers' notes on SCOD give quantiles as a starting point).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Shape = tuple[float, float]  # width, height in pixels of the model's input
Range = tuple[float, float]  # low, high: sqrt(width height) in pixels of the model's input

ROUNDS = 50
FEWEST = 8  # boxes in a layer's range from which its shapes are fitted to them
SSD300 = (30, 60, 111, 162, 213, 264, 315)
SSD512 = (35.84, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6)


def scale_ranges(scales: Floats, strides: Sequence[int], largest: float) -> list[Range]:
    """A range a layer, from 0 to `largest`, so that every layer gets an equal share of the boxes, but none a box
    smaller than a cell of its grid: sqrt(width height) of all training boxes (N,), the stride of each layer."""
    layers = len(strides)
    shares = np.quantile(scales, np.arange(1, layers) / layers) if layers > 1 else np.empty(0)
    inner = [max(float(share), float(stride)) for share, stride in zip(shares, strides[1:], strict=True)]
    ends = [0.0, *np.maximum.accumulate(inner).tolist(), largest]
    return list(itertools.pairwise(ends))


def fitted_shapes(sizes: Floats, scales: Range, count: int) -> list[Shape]:
    """`count` shapes for a layer: the means, in the logarithm, of that many clusters of the boxes (N, 2) of its range;
    `ssd_shapes` where there are few. No chance: the clusters start from equal parts by aspect."""
    scale = np.sqrt(sizes.prod(axis=1))
    own = np.log(sizes[(scale > scales[0]) & (scale <= scales[1])])
    if len(own) < max(FEWEST, 2 * count):
        return ssd_shapes(scales, count)
    parts = np.array_split(own[np.argsort(own[:, 0] - own[:, 1], kind="stable")], count)
    centres = np.stack([part.mean(axis=0) for part in parts])
    for _ in range(ROUNDS):
        nearest = np.square(own[:, None] - centres[None]).sum(axis=2).argmin(axis=1)
        moved = np.stack([own[nearest == i].mean(axis=0) if (nearest == i).any() else centres[i] for i in range(count)])
        if np.allclose(moved, centres):
            break
        centres = moved
    return [(float(width), float(height)) for width, height in np.exp(centres)]


def ssd_shapes(scales: Range, count: int) -> list[Shape]:
    """SSD's shapes: a square of the range's low end, one between its ends, then aspects 2, 1/2, 3, 1/3."""
    low, high = max(scales[0], scales[1] / 4), scales[1]
    between = math.sqrt(low * high)
    shapes = [(low, low), (between, between)]
    for aspect in (2.0, 3.0):
        root = math.sqrt(aspect)
        shapes += [(low * root, low / root), (low / root, low * root)]
    return shapes[:count]


def anchor_boxes(grid: tuple[int, int], shapes: Sequence[Shape], image: tuple[int, int]) -> Floats:
    """The anchors of a layer (h w count, 4): every shape at the centre of every cell, cell by cell."""
    (rows, columns), (height, width) = grid, image
    down, across = (np.arange(rows) + 0.5) * height / rows, (np.arange(columns) + 0.5) * width / columns
    y, x = np.meshgrid(down, across, indexing="ij")
    centres = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
    halves = np.array(shapes).reshape(1, -1, 2) / 2
    return np.concatenate([centres - halves, centres + halves], axis=2).reshape(-1, 4)
