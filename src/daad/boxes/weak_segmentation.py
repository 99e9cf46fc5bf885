"""Weak segmentation: a class for each cell of a detection layer's grid, from the boxes of the layer's scale.

The block learns this segmentation and gates the layer's features by it. Source: SCOD (Wang et al., arXiv 2108.11021),
of which neither code nor formulas are known to us. Rebuilt after DES (Zhang et al., CVPR 2018), which has one mask for
all scales and multiplies the features by those of the segmentation.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

IGNORED = -100  # torch's `ignore_index`
WIDENING = 2**0.5  # factor at both ends of a layer's range, so that no box falls between two layers


class ScaleRange(NamedTuple):
    """The boxes that a layer is responsible for: low < sqrt(width height) <= high, in pixels of the input."""

    low: float
    high: float


def box_scales(boxes: Tensor) -> Tensor:
    """sqrt(width height) (N,) of boxes (N, 4)."""
    return (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(dim=1).sqrt()


def in_scale_range(boxes: Tensor, scales: ScaleRange | None) -> Tensor:
    """Which boxes (N, 4) lie in a layer's widened range, (N,); all of them where it has none (DES)."""
    if scales is None:
        return torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    scale = box_scales(boxes)
    return (scale > scales.low / WIDENING) & (scale <= scales.high * WIDENING)


def segmentation_target(
    boxes: Tensor, labels: Tensor, scales: ScaleRange | None, grid: tuple[int, int], image: tuple[int, int]
) -> Tensor:
    """The target class of every cell of a layer's grid.

    A cell belongs to a box that covers its centre. Of overlapping boxes the smaller one wins; a box that covers no
    cell's centre takes the cell in which its own centre lies.

    Args:
        boxes: (N, 4) in pixels of the image.
        labels: the class of each box (N,), from 0.
        scales: the layer's range; None: boxes of all scales count.
        grid: (h, w), the layer's cells.
        image: (H, W) of the image in pixels.

    Returns:
        (h, w): 0 for background, label + 1 in boxes of the layer's range, IGNORED in boxes of other scales alone.
    """
    target = torch.zeros(grid, dtype=torch.long, device=boxes.device)
    in_range = in_scale_range(boxes, scales)
    for chosen, ignored in ((~in_range, True), (in_range, False)):  # boxes in range are painted over the others
        rows = chosen.nonzero()[:, 0]
        for row in rows[box_scales(boxes[rows]).argsort(descending=True, stable=True)].tolist():
            cell_rows, cell_columns = covered_cells(boxes[row].tolist(), grid, image)
            target[cell_rows, cell_columns] = IGNORED if ignored else int(labels[row]) + 1
    return target


def covered_cells(box: list[float], grid: tuple[int, int], image: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the cells whose centres a box covers, at least one of each."""
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

    F' = F (1 + g), g a sigmoid. Multiplying by g alone, as DES does, may set a layer's features to zero at the start.
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
        hidden = self.body(features)
        return features * (1 + self.gate(hidden).sigmoid()), self.logits(hidden)
