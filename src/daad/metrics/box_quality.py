"""How good found boxes are: which are right at an IoU, and COCO's average precision through faster-coco-eval.

A found box is (left, top, right, bottom), a class and a score; a true one the same without a score. Source of the
protocol: Lin et al., "Microsoft COCO", ECCV 2014, and its evaluation code (101 recall points, 100 boxes an image).
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
AT_MOST = 100  # boxes an image that count


class Boxes(NamedTuple):
    """The boxes of an image: corners (N, 4), classes (N,), scores (N,); true ones have scores of 1."""

    corners: Floats
    labels: npt.NDArray[np.int64]
    scores: Floats

    def some(self, chosen: npt.NDArray[Any]) -> Boxes:
        """Those that a mask (N,) or a list of places chooses."""
        return Boxes(self.corners[chosen], self.labels[chosen], self.scores[chosen])

    def best(self, most: int) -> Boxes:
        """The `most` with the highest scores, these first."""
        return self.some(np.argsort(-self.scores, kind="stable")[:most])


def truth(corners: Floats, labels: npt.NDArray[np.int64]) -> Boxes:
    """True boxes, of which all are sure."""
    return Boxes(corners, labels, np.ones(len(labels)))


@dataclass(frozen=True)
class BoxQuality:
    """COCO's average precision, each in [0, 1] or NaN where there is nothing to find.

    `ap` averages over IoU .5 to .95 in steps of .05, `ap50` and `ap75` are at one IoU; `by_class` and `by_size` hold
    `ap` of a class and of a range of sqrt(width height).
    """

    ap: float
    ap50: float
    ap75: float
    by_class: Mapping[str, float]
    by_size: Mapping[str, float]


def right_at(found: Boxes, true: Boxes, threshold: float = 0.5) -> npt.NDArray[np.bool_]:
    """Which found boxes (N,) are right: by falling score each takes the free true box of its class that it overlaps
    most, from IoU `threshold` on; ties in the order given."""
    right = np.zeros(len(found.scores), dtype=bool)
    free = np.ones(len(true.labels), dtype=bool)
    overlap = ious(found.corners, true.corners)
    for place in np.argsort(-found.scores, kind="stable"):
        legal = np.where(free & (true.labels == found.labels[place]), overlap[place], -1.0)
        if len(legal) and legal.max() >= threshold:
            free[legal.argmax()] = False
            right[place] = True
    return right


def ious(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union (N, M)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(each[:, 2:] - each[:, :2]).clip(0).prod(axis=1) for each in (boxes, others)]
    union = areas[0][:, None] + areas[1][None] - shared
    ratio: Floats = np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
    return ratio


def box_quality(
    found: Sequence[Boxes],
    true: Sequence[Boxes],
    classes: Sequence[str],
    sizes: Mapping[str, tuple[float, float]],
    most: int = AT_MOST,
) -> BoxQuality:
    """COCO's average precision of `found` against `true`, image by image; `sizes` names ranges of sqrt(width height) in
    pixels, low <= size < high; of an image the `most` surest boxes count. Raises ConfigError where the extra is not
    installed."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise ConfigError("average precision of boxes needs faster-coco-eval: pip install 'daad[boxes]'") from None
    if not any(len(each.labels) for each in true):
        nothing = dict.fromkeys(classes, math.nan)
        return BoxQuality(math.nan, math.nan, math.nan, nothing, dict.fromkeys(sizes, math.nan))
    truth, guesses = _annotations(true), _annotations(found)
    images = [{"id": place + 1, "width": 1, "height": 1, "file_name": str(place)} for place in range(len(true))]
    categories = [{"id": place + 1, "name": name} for place, name in enumerate(classes)]
    body = {"images": images, "categories": categories}
    with contextlib.redirect_stdout(io.StringIO()):
        measured = COCOeval_faster(COCO({**body, "annotations": truth}), COCO({**body, "annotations": guesses}), "bbox")
        ends = [[0.0, LARGEST_AREA], *([low**2, min(high**2, LARGEST_AREA)] for low, high in sizes.values())]
        measured.params.areaRng, measured.params.areaRngLbl = ends, ["all", *sizes]
        measured.params.maxDets = [most]
        measured.evaluate()
        measured.accumulate()
    precision = np.asarray(measured.eval["precision"], np.float64)  # IoU, recall, class, size, number of boxes
    precision = np.where(precision < 0, np.nan, precision)[..., -1]
    return BoxQuality(
        ap=_mean(precision[:, :, :, 0]),
        ap50=_mean(precision[0, :, :, 0]),
        ap75=_mean(precision[5, :, :, 0]),
        by_class={name: _mean(precision[:, :, place, 0]) for place, name in enumerate(classes)},
        by_size={name: _mean(precision[:, :, :, place + 1]) for place, name in enumerate(sizes)},
    )


def _annotations(images: Sequence[Boxes]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for place, boxes in enumerate(images):
        columns = (boxes.corners.tolist(), boxes.labels.tolist(), boxes.scores.tolist())
        for (left, top, right, bottom), label, score in zip(*columns, strict=True):
            width, height = right - left, bottom - top
            found.append(
                {
                    "id": len(found) + 1,
                    "image_id": place + 1,
                    "category_id": label + 1,
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "score": score,
                }
            )
    return found


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
