"""What a detector is trained on: anchors matched to boxes, hard negatives, location, weak segmentation.

Total = CE(positives, 3 hard negatives each) + SmoothL1(offsets) + w_IoU L_IoU + w_seg sum_l CE(segmentation of layer l)

Source: SSD (Liu et al., ECCV 2016), section 2.2; location as in HarmonicDet (arXiv 2108.10809), segmentation as in DES
(Zhang et al., CVPR 2018); SCOD's own weights are not known to us.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from daad.boxes.geometry import decode, encode, match, paired_iou
from daad.boxes.overlap_losses import OVERLAP_LOSSES, OverlapLoss
from daad.boxes.weak_segmentation import IGNORED, Scales, segmentation_target


class Matched(NamedTuple):
    """For each anchor of each image its class (B, A), 0 background, and its box (B, A, 4), which is meaningless where
    the class is 0."""

    labels: Tensor
    boxes: Tensor


def matched(anchors: Tensor, boxes: Sequence[Tensor], labels: Sequence[Tensor], threshold: float) -> Matched:
    """Match the anchors (A, 4) to the boxes of each image."""
    classes, places = [], []
    for own, kinds in zip(boxes, labels, strict=True):
        found = match(anchors, own, threshold)
        taken = found >= 0
        kind = torch.zeros_like(found)
        place = anchors.clone()
        kind[taken] = kinds[found[taken]] + 1
        place[taken] = own[found[taken]]
        classes.append(kind)
        places.append(place)
    return Matched(torch.stack(classes), torch.stack(places))


def class_loss(logits: Tensor, labels: Tensor, ratio: float) -> Tensor:
    """Cross-entropy of logits (B, A, classes + 1) over the positives and the hardest negatives of the batch, at most
    `ratio` times as many, divided by the number of positives. A batch without any box keeps `ratio` negatives."""
    loss = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="none")
    positive = labels.flatten() > 0
    kept = positive | hardest(loss.detach(), positive, ratio)
    return (loss * kept).sum() / positive.sum().clamp_min(1)


def hardest(loss: Tensor, positive: Tensor, ratio: float) -> Tensor:
    """The negatives (N,) of the highest loss, at most `ratio` times as many as there are positives; over a whole batch
    and not image by image, so that images without boxes are learnt from too."""
    wanted = int(ratio * max(1, int(positive.sum())))
    wanted = min(wanted, int((~positive).sum()))
    found = torch.zeros_like(positive)
    found[loss.masked_fill(positive, -1.0).topk(wanted).indices] = True
    return found


def location_losses(
    offsets: Tensor, anchors: Tensor, truth: Matched, kind: OverlapLoss | None
) -> tuple[Tensor, Tensor]:
    """SmoothL1 of the offsets, and the loss of overlap of the boxes that they stand for, each summed over the positives
    and divided by their number; the second is 0 where there is no such loss."""
    positive = truth.labels > 0
    count = positive.sum().clamp_min(1)
    starts = anchors.expand_as(truth.boxes)[positive]
    found, wanted = offsets.float()[positive], truth.boxes[positive]
    smooth = F.smooth_l1_loss(found, encode(wanted, starts), reduction="sum") / count
    if kind is None:
        return smooth, smooth.new_zeros(())
    overlap = paired_iou(decode(found, starts), wanted)
    return smooth, OVERLAP_LOSSES[kind](overlap).sum() / count


def segmentation_loss(
    logits: Sequence[Tensor],
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    scales: Sequence[Scales | None],
    image: tuple[int, int],
) -> Tensor:
    """Cross-entropy of each layer's logits (B, classes + 1, h, w) against its own targets, mean over the cells that
    count, summed over layers."""
    total = logits[0].new_zeros((), dtype=torch.float32)
    for each, own in zip(logits, scales, strict=True):
        grid = (int(each.shape[2]), int(each.shape[3]))
        target = torch.stack(
            [segmentation_target(b, kinds, own, grid, image) for b, kinds in zip(boxes, labels, strict=True)]
        )
        loss = F.cross_entropy(each.float(), target, ignore_index=IGNORED, reduction="sum")
        total = total + loss / (target != IGNORED).sum().clamp_min(1)
    return total
