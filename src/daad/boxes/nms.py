"""From the network's output to the boxes of an image: one code path for fitting, predicting, evaluating, verifying."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from daad.boxes.geometry import suppress_by_class
from daad.boxes.scod import SCOD, DenseBoxes
from daad.data.preprocess import Preprocess, to_float
from daad.errors import TrainingError
from daad.metrics.box_quality import MAX_DETECTIONS, Boxes

LOWEST_SCORE = 0.01  # boxes below are dropped before suppression
CANDIDATES = 400  # boxes of the highest scores of an image, before suppression
SMALLEST_SIDE = 1e-3  # pixels of the model's input: a box clipped to less lay outside


def dense_boxes(model: SCOD, images: npt.NDArray[Any]) -> DenseBoxes:
    """The network's output for prepared integer images (B, h, w, C), in float32 on the CPU; no gradients.

    Raises TrainingError where it is not finite.
    """
    device = model.anchors.device
    with torch.inference_mode():
        batch = torch.from_numpy(to_float(images)).to(device).contiguous(memory_format=torch.channels_last)
        dense = model(batch)
    if not (torch.isfinite(dense.scores).all() and torch.isfinite(dense.boxes).all()):
        raise TrainingError("the model gives boxes that are not finite; its weights are damaged, fit again")
    return DenseBoxes(dense.scores.float().cpu(), dense.boxes.float().cpu())


def detect(
    model: SCOD, preprocess: Preprocess, images: npt.NDArray[Any], min_score: float = LOWEST_SCORE
) -> list[Boxes]:
    """The boxes of each prepared image after non-maximum suppression, at most 100.

    Args:
        model: the network.
        preprocess: what prepared the images.
        images: prepared integer images (B, h, w, C).
        min_score: leave out boxes of a lower score.

    Returns:
        The boxes of each image in pixels of the prepared image, clipped to it, the highest score first.
    """
    dense = dense_boxes(model, images)
    return [_suppressed(scores, boxes, model, preprocess, min_score) for scores, boxes in zip(*dense, strict=True)]


def _suppressed(
    scores: torch.Tensor, boxes: torch.Tensor, model: SCOD, preprocess: Preprocess, min_score: float
) -> Boxes:
    sides = torch.tensor([preprocess.width, preprocess.height] * 2, dtype=boxes.dtype)
    clipped = boxes.clamp_min(0).minimum(sides)
    inside = ((clipped[:, 2:] - clipped[:, :2]) > SMALLEST_SIDE).all(dim=1)
    candidates = (scores >= min_score) & inside[:, None]
    anchors, labels = candidates.nonzero(as_tuple=True)
    values = scores[anchors, labels]
    order = values.argsort(descending=True, stable=True)[:CANDIDATES]
    anchors, labels, values = anchors[order], labels[order], values[order]
    kept = suppress_by_class(clipped[anchors], values, labels, model.config.nms_iou, MAX_DETECTIONS)
    return Boxes(clipped[anchors[kept]].double().numpy(), labels[kept].numpy(), values[kept].double().numpy())


def scale_to_model(size: tuple[int, int], preprocess: Preprocess) -> npt.NDArray[np.float64]:
    """The factors (4,) of a box's corners from pixels of an image of `size` (height, width) to those of the model."""
    height, width = size
    return np.array([preprocess.width / width, preprocess.height / height] * 2)


def scaled(boxes: Boxes, factors: npt.NDArray[np.float64]) -> Boxes:
    """Boxes with their corners multiplied by `factors` (4,)."""
    return boxes._replace(corners=boxes.corners * factors)
