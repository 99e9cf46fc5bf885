"""Which layer is responsible for which boxes, and the layer's anchors.

training boxes -> a range of scales a layer -> a few shapes (width, height) a layer -> anchors at every cell

Source: SSD (Liu et al., ECCV 2016), section 2.2, for `ssd_shapes` and the published scales. Ranges and shapes from the
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

MOST_ITERATIONS = 50
FEWEST_BOXES = 8  # in a layer's range, to fit its shapes to them
SSD300 = (30, 60, 111, 162, 213, 264, 315)
SSD512 = (35.84, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6)


def scale_ranges(scales: Floats, strides: Sequence[int], largest: float) -> list[Range]:
    """One range of scales for each layer, together from 0 to `largest`.

    Every layer gets an equal share of the training boxes, but none smaller than a cell of its grid. `scales` (N,) are
    sqrt(width height) of all training boxes; `strides` are those of the layers, in pixels.
    """
    layers = len(strides)
    quantiles = np.quantile(scales, np.arange(1, layers) / layers) if layers > 1 else np.empty(0)
    inner = [max(float(quantile), float(stride)) for quantile, stride in zip(quantiles, strides[1:], strict=True)]
    bounds = [0.0, *np.maximum.accumulate(inner).tolist(), largest]
    return list(itertools.pairwise(bounds))


def fitted_shapes(sizes: Floats, scales: Range, count: int) -> list[Shape]:
    """`count` shapes for a layer: k-means of the logarithms of the box sizes (N, 2) within its range.

    Where boxes are few, the shapes are those of `ssd_shapes`. Deterministic: clusters start from equal parts by aspect.
    """
    scale = np.sqrt(sizes.prod(axis=1))
    logs = np.log(sizes[(scale > scales[0]) & (scale <= scales[1])])
    if len(logs) < max(FEWEST_BOXES, 2 * count):
        return ssd_shapes(scales, count)
    clusters = np.array_split(logs[np.argsort(logs[:, 0] - logs[:, 1], kind="stable")], count)
    centres = np.stack([cluster.mean(axis=0) for cluster in clusters])
    for _ in range(MOST_ITERATIONS):
        nearest = np.square(logs[:, None] - centres[None]).sum(axis=2).argmin(axis=1)
        means = np.stack(
            [logs[nearest == i].mean(axis=0) if (nearest == i).any() else centres[i] for i in range(count)]
        )
        if np.allclose(means, centres):
            break
        centres = means
    return [(float(width), float(height)) for width, height in np.exp(centres)]


def ssd_shapes(scales: Range, count: int) -> list[Shape]:
    """SSD's shapes: a square of the range's low end, one of the geometric mean, then aspects 2, 1/2, 3, 1/3."""
    low, high = max(scales[0], scales[1] / 4), scales[1]
    middle = math.sqrt(low * high)
    shapes = [(low, low), (middle, middle)]
    for aspect in (2.0, 3.0):
        root = math.sqrt(aspect)
        shapes += [(low * root, low / root), (low / root, low * root)]
    return shapes[:count]


def anchor_boxes(grid: tuple[int, int], shapes: Sequence[Shape], image: tuple[int, int]) -> Floats:
    """The anchors of a layer (h w count, 4): every shape at the centre of every cell, cell by cell."""
    (rows, columns), (height, width) = grid, image
    ys, xs = (np.arange(rows) + 0.5) * height / rows, (np.arange(columns) + 0.5) * width / columns
    y, x = np.meshgrid(ys, xs, indexing="ij")
    centres = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
    halves = np.array(shapes).reshape(1, -1, 2) / 2
    return np.concatenate([centres - halves, centres + halves], axis=2).reshape(-1, 4)
