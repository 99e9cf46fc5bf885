"""Boxes in torch: overlap, matching of anchors to boxes, offsets, non-maximum suppression.

A box is (left, top, right, bottom) in any one unit, right and bottom exclusive; (N, 4) in all functions. Source: SSD
(Liu et al., ECCV 2016), section 2.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
BLOCK = 128  # boxes whose overlaps with all others are in memory at once, in suppression
LARGEST_LOG_SIZE = 4.0  # of a decoded box over its anchor: about 55 times


def area(boxes: Tensor) -> Tensor:
    """Areas (N,); 0 for an inverted box."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(dim=-1)


def iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of each of (N, 4) with each of (M, 4), in [0, 1], (N, M); 0 where both are empty."""
    return _ratio(boxes[:, None], others[None])


def paired_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of (N, 4) with (N, 4), row by row, (N,); with gradients."""
    return _ratio(boxes, others)


def _ratio(boxes: Tensor, others: Tensor) -> Tensor:
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., 2:], others[..., 2:])
    shared = (high - low).clamp_min(0).prod(dim=-1)
    union = area(boxes) + area(others) - shared
    return shared / union.clamp_min(torch.finfo(union.dtype).tiny)


def match(anchors: Tensor, boxes: Tensor, threshold: float = 0.5) -> Tensor:
    """The box that each anchor is matched to: indices (A,) into `boxes`, -1 for background.

    An anchor takes the box of the highest IoU, if that is at least `threshold`. Then every box, the best
    matched first, gets its anchor of the highest IoU among those not yet given in this step. So no box is left out.
    """
    box_of_anchor = torch.full((len(anchors),), -1, dtype=torch.long, device=anchors.device)
    if not len(boxes) or not len(anchors):
        return box_of_anchor
    overlap = iou(anchors, boxes)
    best, best_box = overlap.max(dim=1)
    box_of_anchor[best >= threshold] = best_box[best >= threshold]
    taken = torch.zeros(len(anchors), dtype=torch.bool, device=anchors.device)
    best_of_box = overlap.max(dim=0).values
    for box in best_of_box.argsort(descending=True, stable=True).tolist():
        free = overlap[:, box].masked_fill(taken, -1.0)
        anchor = int(free.argmax())
        if not bool(taken[anchor]):
            box_of_anchor[anchor] = box
            taken[anchor] = True
    return box_of_anchor


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Offsets of boxes (..., 4) from their anchors: of the centre in anchor sizes, and the logarithm of the size."""
    centre, size = _centre_size(boxes)
    anchor_centre, anchor_size = _centre_size(anchors)
    return torch.cat(
        [(centre - anchor_centre) / anchor_size / CENTRE_VARIANCE, (size / anchor_size).log() / SIZE_VARIANCE], dim=-1
    )


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """The boxes of offsets (..., 4) from anchors; the inverse of `encode`."""
    anchor_centre, anchor_size = _centre_size(anchors)
    centre = anchor_centre + offsets[..., :2] * CENTRE_VARIANCE * anchor_size
    size = anchor_size * (offsets[..., 2:] * SIZE_VARIANCE).clamp(-LARGEST_LOG_SIZE, LARGEST_LOG_SIZE).exp()
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def suppress(boxes: Tensor, scores: Tensor, threshold: float = 0.45, limit: int | None = None) -> Tensor:
    """Non-maximum suppression: a box is dropped if it overlaps a kept one of a higher score too much.

    Args:
        boxes: (N, 4).
        scores: (N,).
        threshold: IoU above which a box is dropped.
        limit: most boxes to keep; None: no limit.

    Returns:
        Indices of the kept boxes, the highest score first, ties in the order given.
    """
    order = scores.argsort(descending=True, stable=True)
    sorted_boxes = boxes[order]
    dropped = torch.zeros(len(order), dtype=torch.bool, device=boxes.device)
    kept: list[int] = []
    for start in range(0, len(order), BLOCK):
        block = torch.arange(start, min(start + BLOCK, len(order)), device=boxes.device)
        block = block[~dropped[block]]
        overlaps = iou(sorted_boxes[block], sorted_boxes) > threshold
        for row, index in enumerate(block.tolist()):
            if bool(dropped[index]):
                continue
            kept.append(index)
            if len(kept) == limit:
                return order[torch.tensor(kept, dtype=torch.long, device=boxes.device)]
            dropped |= overlaps[row]
    return order[torch.tensor(kept, dtype=torch.long, device=boxes.device)]


def suppress_by_class(
    boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float = 0.45, limit: int | None = None
) -> Tensor:
    """Non-maximum suppression within each class: boxes of different classes never suppress each other.

    Args:
        boxes: (N, 4).
        scores: (N,).
        labels: the class of each box (N,).
        threshold: IoU above which a box is dropped.
        limit: most boxes to keep, of all classes together; None: no limit.

    Returns:
        Indices of the kept boxes, the highest score first, ties in the order given.
    """
    if not len(boxes):
        return torch.zeros(0, dtype=torch.long, device=boxes.device)
    exact = boxes.double()  # float32 would round boxes after the shift
    span = exact.max() - exact.min() + 1
    return suppress(exact + (labels * span)[:, None], scores, threshold, limit)  # classes are shifted off each other


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, (high - low).clamp_min(1e-6)
