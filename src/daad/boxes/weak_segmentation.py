"""Weak segmentation from boxes: which class covers each cell of a detection layer's grid, for the boxes of its own
scale; and the block that learns it and gates the layer's features by it.

Source: SCOD (Wang et al., arXiv 2108.11021), of which neither code nor formulas are known to us; rebuilt after DES
(Zhang et al., CVPR 2018): one mask for all scales, and features multiplied by the segmentation's own.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

IGNORED = -100  # the index that torch's cross-entropy leaves out
WIDENING = 2**0.5  # of a layer's range of scales, at both ends, so that no box falls between two layers


class Scales(NamedTuple):
    """The boxes a layer is responsible for: those of low < sqrt(width height) <= high, in pixels."""

    low: float
    high: float


def scale_of(boxes: Tensor) -> Tensor:
    """sqrt(width height) of boxes (N, 4), (N,)."""
    return (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(dim=1).sqrt()


def of_layer(boxes: Tensor, scales: Scales | None) -> Tensor:
    """Which boxes (N, 4) a layer answers for, (N,); all of them where it has no scales of its own (DES)."""
    if scales is None:
        return torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    size = scale_of(boxes)
    return (size > scales.low / WIDENING) & (size <= scales.high * WIDENING)


def segmentation_target(
    boxes: Tensor, labels: Tensor, scales: Scales | None, grid: tuple[int, int], image: tuple[int, int]
) -> Tensor:
    """The class of every cell of a layer's grid (h, w): 0 for background, label + 1 where the centre of the cell lies
    in a box of the layer's scale, IGNORED in boxes of other scales alone.

    `boxes` (N, 4) are in pixels of an image of `image` (H, W), `labels` (N,) from 0. Of boxes that overlap the smaller
    one wins; one that covers no cell's centre takes the cell that its own centre lies in.
    """
    target = torch.zeros(grid, dtype=torch.long, device=boxes.device)
    own = of_layer(boxes, scales)
    for part, ignored in ((~own, True), (own, False)):  # what is the layer's own is painted over what is not
        rows = part.nonzero()[:, 0]
        for row in rows[scale_of(boxes[rows]).argsort(descending=True, stable=True)].tolist():
            down, across = cells_of(boxes[row].tolist(), grid, image)
            target[down, across] = IGNORED if ignored else int(labels[row]) + 1
    return target


def cells_of(box: list[float], grid: tuple[int, int], image: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the cells whose centres a box covers, never none."""
    left, top, right, bottom = box
    return _span(top, bottom, grid[0], image[0]), _span(left, right, grid[1], image[1])


def _span(low: float, high: float, cells: int, length: int) -> slice:
    step = length / cells
    first, last = round(low / step), round(high / step)  # a centre lies at (i + 1/2) step
    if first >= last:
        first = min(max(int((low + high) / 2 / step), 0), cells - 1)
        last = first + 1
    return slice(max(first, 0), min(last, cells))


class WeakSegmentation(nn.Module):
    """Features (B, C, h, w) -> gated features of the same shape, and logits (B, classes + 1, h, w).

    F' = F (1 + g), g a sigmoid: multiplying by the segmentation alone, as DES does, may silence a layer at the start.
    """

    def __init__(self, channels: int, classes: int, dilation: int = 2) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
        )
        self.logits = nn.Conv2d(channels, classes + 1, 1)
        self.gate = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        found = self.body(features)
        return features * (1 + self.gate(found).sigmoid()), self.logits(found)
