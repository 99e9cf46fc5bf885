"""Overlap losses beside SmoothL1 on offsets, most of them with the largest gradient where boxes nearly fit.

SCOD's AIoU loss was published without a formula that we know (arXiv 2108.11021: a "simple squeeze operation" against
the imbalance of hard and easy samples). These losses are of its kind; all fall from 1 at IoU 0 to 0 at IoU 1:

    hiou  (1 + IoU)^gamma (1 - IoU)    HarmonicDet, arXiv 2108.10809; gamma .8
    pow   1 - IoU^alpha                our reading of "squeeze"; alpha 2
    riou  (1 - IoU) (1 + IoU^2)        after the aim of RIoU, arXiv 2008.03511: high overlaps count more; ours
    iou   1 - IoU                      the IoU loss
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor

OverlapLoss = Literal["hiou", "pow", "riou", "iou"]
GAMMA, ALPHA = 0.8, 2.0


def hiou(overlap: Tensor, gamma: float = GAMMA) -> Tensor:
    """(1 + IoU)^gamma (1 - IoU)."""
    return (1 + overlap).pow(gamma) * (1 - overlap)


def power(overlap: Tensor, alpha: float = ALPHA) -> Tensor:
    """1 - IoU^alpha; without gradient at IoU 0, so it needs SmoothL1 beside it."""
    return 1 - overlap.pow(alpha)


def riou(overlap: Tensor) -> Tensor:
    """(1 - IoU) (1 + IoU^2): the gradient is 1 at IoU 0, falls to 2/3 at a third and rises to 2 at 1."""
    return (1 - overlap) * (1 + overlap.square())


def linear(overlap: Tensor) -> Tensor:
    """1 - IoU."""
    return 1 - overlap


OVERLAP_LOSSES: Mapping[OverlapLoss, Callable[[Tensor], Tensor]] = {
    "hiou": hiou,
    "pow": power,
    "riou": riou,
    "iou": linear,
}
