"""From the network's raw answer to a few boxes: the one way, for fitting, predicting, evaluating and verifying."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from daad.boxes.geometry import suppress_by_class
from daad.boxes.scod import SCOD, Found
from daad.data.preprocess import Preprocess, to_float
from daad.errors import TrainingError
from daad.metrics.box_quality import MAX_DETECTIONS, Boxes

LOWEST = 0.01  # scores below are never looked at
CANDIDATES = 400  # of the highest scores of an image, before suppression
THINNEST = 1e-3  # pixels of the model's input: what is clipped to less lay outside


def raw_found(model: SCOD, images: npt.NDArray[Any]) -> Found:
    """The network's answer for prepared integer images (B, h, w, C), in float32; no gradients."""
    device = model.anchors.device
    with torch.inference_mode():
        batch = torch.from_numpy(to_float(images)).to(device).contiguous(memory_format=torch.channels_last)
        found = model(batch)
    if not (torch.isfinite(found.scores).all() and torch.isfinite(found.boxes).all()):
        raise TrainingError("the model gives boxes that are not finite; its weights are damaged, fit again")
    return Found(found.scores.float().cpu(), found.boxes.float().cpu())


def boxes_of(model: SCOD, preprocess: Preprocess, images: npt.NDArray[Any], lowest: float = LOWEST) -> list[Boxes]:
    """The boxes of each prepared image, in its pixels and clipped to it, from score `lowest` on, the highest first;
    overlapping ones of a class suppressed, at most 100."""
    raw = raw_found(model, images)
    return [_few(scores, boxes, model, preprocess, lowest) for scores, boxes in zip(*raw, strict=True)]


def _few(scores: torch.Tensor, boxes: torch.Tensor, model: SCOD, preprocess: Preprocess, lowest: float) -> Boxes:
    sides = torch.tensor([preprocess.width, preprocess.height] * 2, dtype=boxes.dtype)
    clipped = boxes.clamp_min(0).minimum(sides)
    inside = ((clipped[:, 2:] - clipped[:, :2]) > THINNEST).all(dim=1)
    likely = (scores >= lowest) & inside[:, None]
    anchors, labels = likely.nonzero(as_tuple=True)
    values = scores[anchors, labels]
    order = values.argsort(descending=True, stable=True)[:CANDIDATES]
    anchors, labels, values = anchors[order], labels[order], values[order]
    kept = suppress_by_class(clipped[anchors], values, labels, model.config.nms_iou, MAX_DETECTIONS)
    return Boxes(clipped[anchors[kept]].double().numpy(), labels[kept].numpy(), values[kept].double().numpy())


def to_model(size: tuple[int, int], preprocess: Preprocess) -> npt.NDArray[np.float64]:
    """What the corners of a box are multiplied by to go from an image of `size` (height, width) to the model's."""
    height, width = size
    return np.array([preprocess.width / width, preprocess.height / height] * 2)


def moved(found: Boxes, factor: npt.NDArray[np.float64]) -> Boxes:
    """Boxes with their corners multiplied by `factor` (4,)."""
    return found._replace(corners=found.corners * factor)
