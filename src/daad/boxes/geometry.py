"""Boxes for detection: overlap, anchors, which anchor answers for which box, offsets, suppression. Torch alone.

A box is (left, top, right, bottom) in any one unit, right and bottom exclusive; (N, 4) in all functions. Source: SSD
(Liu et al., ECCV 2016), section 2.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
BLOCK = 128  # boxes whose overlaps with all others are held at once, in suppression
LARGEST_LOG_SIZE = 4.0  # of a decoded box over its anchor: about 55 times


def area(boxes: Tensor) -> Tensor:
    """Areas (N,); 0 for a box that is turned inside out."""
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
    """The box that each anchor answers for, (A,) indices into `boxes`, -1 for background.

    An anchor takes the box that it overlaps most, from `threshold` on. Then each box gets an anchor for itself, the one
    that overlaps it most among those no other box has got so, so that none is left out; the best fits choose first.
    """
    found = torch.full((len(anchors),), -1, dtype=torch.long, device=anchors.device)
    if not len(boxes) or not len(anchors):
        return found
    overlap = iou(anchors, boxes)
    best, of_anchor = overlap.max(dim=1)
    found[best >= threshold] = of_anchor[best >= threshold]
    taken = torch.zeros(len(anchors), dtype=torch.bool, device=anchors.device)
    best_of_box = overlap.max(dim=0).values
    for box in best_of_box.argsort(descending=True, stable=True).tolist():
        free = overlap[:, box].masked_fill(taken, -1.0)
        anchor = int(free.argmax())
        if not bool(taken[anchor]):
            found[anchor] = box
            taken[anchor] = True
    return found


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Offsets of boxes (..., 4) from their anchors: of the centre in anchor sizes, and the logarithm of the size."""
    centre, size = _centre_size(boxes)
    at, of = _centre_size(anchors)
    return torch.cat([(centre - at) / of / CENTRE_VARIANCE, (size / of).log() / SIZE_VARIANCE], dim=-1)


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """The boxes that offsets (..., 4) from anchors stand for; the inverse of `encode`."""
    at, of = _centre_size(anchors)
    centre = at + offsets[..., :2] * CENTRE_VARIANCE * of
    size = of * (offsets[..., 2:] * SIZE_VARIANCE).clamp(-LARGEST_LOG_SIZE, LARGEST_LOG_SIZE).exp()
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def suppress(boxes: Tensor, scores: Tensor, threshold: float = 0.45, limit: int | None = None) -> Tensor:
    """Non-maximum suppression: indices of the boxes to keep, the highest score first, ties in the order given.

    A box is dropped if it overlaps a kept one of a higher score by more than `threshold`; at most `limit` are kept.
    """
    order = scores.argsort(descending=True, stable=True)
    mine = boxes[order]
    dropped = torch.zeros(len(order), dtype=torch.bool, device=boxes.device)
    kept: list[int] = []
    for start in range(0, len(order), BLOCK):
        block = torch.arange(start, min(start + BLOCK, len(order)), device=boxes.device)
        block = block[~dropped[block]]
        overlap = iou(mine[block], mine) > threshold
        for row, place in enumerate(block.tolist()):
            if bool(dropped[place]):
                continue
            kept.append(place)
            if len(kept) == limit:
                return order[torch.tensor(kept, dtype=torch.long, device=boxes.device)]
            dropped |= overlap[row]
    return order[torch.tensor(kept, dtype=torch.long, device=boxes.device)]


def suppress_by_class(
    boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float = 0.45, limit: int | None = None
) -> Tensor:
    """The same with boxes of different classes leaving each other alone."""
    if not len(boxes):
        return torch.zeros(0, dtype=torch.long, device=boxes.device)
    apart = boxes.double()  # float32 would round boxes that were moved far apart
    span = apart.max() - apart.min() + 1
    return suppress(apart + (labels * span)[:, None], scores, threshold, limit)


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, (high - low).clamp_min(1e-6)
