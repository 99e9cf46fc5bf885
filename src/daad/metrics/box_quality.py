"""How good predicted boxes are: true positives at an IoU, and COCO's average precision through faster-coco-eval.

A predicted box is (left, top, right, bottom), a class and a score; a ground-truth box is the same without a score.
Source of the protocol: Lin et al., "Microsoft COCO", ECCV 2014, and its evaluation code (101 recall points, 100 boxes
an image).
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from daad.errors import ConfigError

Floats = npt.NDArray[np.float64]
LARGEST_AREA = 1e10
MAX_DETECTIONS = 100  # boxes of an image that count


class Boxes(NamedTuple):
    """The boxes of an image: corners (N, 4), classes (N,), scores (N,); ground-truth boxes have scores of 1."""

    corners: Floats
    labels: npt.NDArray[np.int64]
    scores: Floats

    def select(self, chosen: npt.NDArray[Any]) -> Boxes:
        """Those that a mask (N,) or an array of indices selects."""
        return Boxes(self.corners[chosen], self.labels[chosen], self.scores[chosen])

    def top(self, count: int) -> Boxes:
        """The `count` boxes with the highest scores, in falling order."""
        return self.select(np.argsort(-self.scores, kind="stable")[:count])


def truth(corners: Floats, labels: npt.NDArray[np.int64]) -> Boxes:
    """Ground-truth boxes: corners (N, 4) and classes (N,), all with a score of 1."""
    return Boxes(corners, labels, np.ones(len(labels)))


@dataclass(frozen=True)
class BoxQuality:
    """COCO's average precision in [0, 1], or NaN where there is no ground-truth box.

    `ap` averages over IoU .5 to .95 in steps of .05, `ap50` and `ap75` are at one IoU; `by_class` and `by_size` hold
    `ap` of a class and of a range of sqrt(width height).
    """

    ap: float
    ap50: float
    ap75: float
    by_class: Mapping[str, float]
    by_size: Mapping[str, float]


def true_positives_at(predicted: Boxes, true: Boxes, threshold: float = 0.5) -> npt.NDArray[np.bool_]:
    """Which predicted boxes (N,) are true positives at an IoU of `threshold`.

    By falling score each is matched to the unmatched true box of its class that it overlaps most; ties keep their
    order.
    """
    is_true_positive = np.zeros(len(predicted.scores), dtype=bool)
    unmatched = np.ones(len(true.labels), dtype=bool)
    overlap = ious(predicted.corners, true.corners)
    for index in np.argsort(-predicted.scores, kind="stable"):
        candidates = np.where(unmatched & (true.labels == predicted.labels[index]), overlap[index], -1.0)
        if len(candidates) and candidates.max() >= threshold:
            unmatched[candidates.argmax()] = False
            is_true_positive[index] = True
    return is_true_positive


def ious(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union (N, M) of boxes (N, 4) and others (M, 4)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    intersection = (high - low).clip(0).prod(axis=2)
    areas, other_areas = ((corners[:, 2:] - corners[:, :2]).clip(0).prod(axis=1) for corners in (boxes, others))
    union = areas[:, None] + other_areas[None] - intersection
    ratio: Floats = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    return ratio


def box_quality(
    predicted: Sequence[Boxes],
    true: Sequence[Boxes],
    classes: Sequence[str],
    sizes: Mapping[str, tuple[float, float]],
    max_detections: int = MAX_DETECTIONS,
) -> BoxQuality:
    """COCO's average precision of predicted boxes.

    Args:
        predicted: the predicted boxes of each image.
        true: the ground-truth boxes of each image, in the same order.
        classes: class names; a label is an index into them.
        sizes: ranges (low, high) of sqrt(width height) in pixels by name, low <= size < high.
        max_detections: only so many boxes of an image count, those with the highest scores.

    Raises:
        ConfigError: the extra `daad[boxes]` is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise ConfigError("average precision of boxes needs faster-coco-eval: pip install 'daad[boxes]'") from None
    if not any(len(boxes.labels) for boxes in true):
        undefined = dict.fromkeys(classes, math.nan)
        return BoxQuality(math.nan, math.nan, math.nan, undefined, dict.fromkeys(sizes, math.nan))
    truth, detections = _annotations(true), _annotations(predicted)
    images = [{"id": index + 1, "width": 1, "height": 1, "file_name": str(index)} for index in range(len(true))]
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(classes)]
    body = {"images": images, "categories": categories}
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval_faster(
            COCO({**body, "annotations": truth}), COCO({**body, "annotations": detections}), "bbox"
        )
        areas = [[0.0, LARGEST_AREA], *([low**2, min(high**2, LARGEST_AREA)] for low, high in sizes.values())]
        evaluator.params.areaRng, evaluator.params.areaRngLbl = areas, ["all", *sizes]
        evaluator.params.maxDets = [max_detections]
        evaluator.evaluate()
        evaluator.accumulate()
    precision = np.asarray(evaluator.eval["precision"], np.float64)  # IoU, recall, class, size, number of boxes
    precision = np.where(precision < 0, np.nan, precision)[..., -1]
    return BoxQuality(
        ap=_mean(precision[:, :, :, 0]),
        ap50=_mean(precision[0, :, :, 0]),
        ap75=_mean(precision[5, :, :, 0]),
        by_class={name: _mean(precision[:, :, label, 0]) for label, name in enumerate(classes)},
        by_size={name: _mean(precision[:, :, :, size]) for size, name in enumerate(sizes, start=1)},
    )


def _annotations(images: Sequence[Boxes]) -> list[dict[str, Any]]:
    annotations: list[dict[str, Any]] = []
    for index, boxes in enumerate(images):
        columns = (boxes.corners.tolist(), boxes.labels.tolist(), boxes.scores.tolist())
        for (left, top, right, bottom), label, score in zip(*columns, strict=True):
            width, height = right - left, bottom - top
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": label + 1,
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "score": score,
                }
            )
    return annotations


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
