"""The detector's losses: class with hard negatives, location, overlap, weak segmentation.

Total = CE(positives, 3 hard negatives each) + SmoothL1(offsets) + w_IoU L_IoU + w_seg sum_l CE(segmentation of layer l)

Source: SSD (Liu et al., ECCV 2016), section 2.2; location as in HarmonicDet (arXiv 2108.10809), segmentation as in DES
(Zhang et al., CVPR 2018). The weights of SCOD are not known to us.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from daad.boxes.geometry import decode, encode, match, paired_iou
from daad.boxes.overlap_losses import OVERLAP_LOSSES, OverlapLoss
from daad.boxes.weak_segmentation import IGNORED, ScaleRange, segmentation_target


class MatchedAnchors(NamedTuple):
    """The targets of the anchors: `labels` (B, A), 0 for background, and `boxes` (B, A, 4).

    A box has no meaning where the label is 0.
    """

    labels: Tensor
    boxes: Tensor


def match_anchors(
    anchors: Tensor, boxes: Sequence[Tensor], labels: Sequence[Tensor], threshold: float
) -> MatchedAnchors:
    """Match the anchors to the boxes of each image.

    Args:
        anchors: (A, 4).
        boxes: of each image (N, 4).
        labels: of each image the classes of its boxes (N,), from 0.
        threshold: IoU from which an anchor is positive.
    """
    class_targets, box_targets = [], []
    for image_boxes, image_labels in zip(boxes, labels, strict=True):
        box_of_anchor = match(anchors, image_boxes, threshold)
        positive = box_of_anchor >= 0
        classes = torch.zeros_like(box_of_anchor)
        targets = anchors.clone()
        classes[positive] = image_labels[box_of_anchor[positive]] + 1
        targets[positive] = image_boxes[box_of_anchor[positive]]
        class_targets.append(classes)
        box_targets.append(targets)
    return MatchedAnchors(torch.stack(class_targets), torch.stack(box_targets))


def class_loss(logits: Tensor, labels: Tensor, ratio: float) -> Tensor:
    """Cross-entropy over the positives and the hardest negatives of the batch, divided by the number of positives.

    `logits` are (B, A, classes + 1), `labels` (B, A). Negatives are at most `ratio` times as many as positives; a batch
    without any box keeps `ratio` negatives.
    """
    loss = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="none")
    positive = labels.flatten() > 0
    kept = positive | hardest(loss.detach(), positive, ratio)
    return (loss * kept).sum() / positive.sum().clamp_min(1)


def hardest(loss: Tensor, positive: Tensor, ratio: float) -> Tensor:
    """The hard negatives (N,): those of the highest loss, at most `ratio` times as many as positives.

    They are chosen over the batch and not in each image, so that images without boxes count too.
    """
    count = int(ratio * max(1, int(positive.sum())))
    count = min(count, int((~positive).sum()))
    hard = torch.zeros_like(positive)
    hard[loss.masked_fill(positive, -1.0).topk(count).indices] = True
    return hard


def location_losses(
    offsets: Tensor, anchors: Tensor, targets: MatchedAnchors, kind: OverlapLoss | None
) -> tuple[Tensor, Tensor]:
    """SmoothL1 of the offsets and the overlap loss of the decoded boxes, over the positives.

    Args:
        offsets: the network's (B, A, 4).
        anchors: (A, 4).
        targets: class and box of each anchor.
        kind: the overlap loss; None: none.

    Returns:
        Both losses, each summed over the positives and divided by their number; the second is 0 without a `kind`.
    """
    positive = targets.labels > 0
    count = positive.sum().clamp_min(1)
    positive_anchors = anchors.expand_as(targets.boxes)[positive]
    predicted, true = offsets.float()[positive], targets.boxes[positive]
    smooth = F.smooth_l1_loss(predicted, encode(true, positive_anchors), reduction="sum") / count
    if kind is None:
        return smooth, smooth.new_zeros(())
    overlap = paired_iou(decode(predicted, positive_anchors), true)
    return smooth, OVERLAP_LOSSES[kind](overlap).sum() / count


def segmentation_loss(
    logits: Sequence[Tensor],
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    scales: Sequence[ScaleRange | None],
    image: tuple[int, int],
) -> Tensor:
    """Cross-entropy of the weak segmentation: mean over the cells that are not ignored, summed over the layers.

    Args:
        logits: of each layer (B, classes + 1, h, w).
        boxes: of each image (N, 4), in pixels of the image.
        labels: of each image the classes of its boxes (N,), from 0.
        scales: of each layer its range of scales; None: boxes of all scales count.
        image: (H, W) of the images in pixels.
    """
    total = logits[0].new_zeros((), dtype=torch.float32)
    for layer_logits, layer_scales in zip(logits, scales, strict=True):
        grid = (int(layer_logits.shape[2]), int(layer_logits.shape[3]))
        target = torch.stack(
            [
                segmentation_target(b, classes, layer_scales, grid, image)
                for b, classes in zip(boxes, labels, strict=True)
            ]
        )
        loss = F.cross_entropy(layer_logits.float(), target, ignore_index=IGNORED, reduction="sum")
        total = total + loss / (target != IGNORED).sum().clamp_min(1)
    return total
