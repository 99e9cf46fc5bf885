"""Bootstrap intervals over images of average precision, precision and recall of boxes.

true positives at ten IoUs, matched once -> images resampled as weights -> cumulative sums -> the same measures
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daad.metrics.box_quality import Boxes, true_positives_at
from daad.metrics.intervals import Interval, check_bootstrap, percentile_interval

Floats = npt.NDArray[np.float64]
IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MEASURES = ("ap", "ap50", "ap75", "precision", "recall")


@dataclass(frozen=True)
class _ClassMatches:
    """The predicted boxes of a class by falling score: the index of their image (n,), their scores (n,), which are true
    positives at each IoU (10, n); and how many true boxes each image has (images,)."""

    image: npt.NDArray[np.int64]
    scores: Floats
    true_positive: npt.NDArray[np.bool_]
    true_count: npt.NDArray[np.int64]


def box_intervals(
    predicted: Sequence[Boxes],
    true: Sequence[Boxes],
    classes: int,
    threshold: float,
    *,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Percentile bootstrap intervals over images of `ap`, `ap50`, `ap75`, `precision` and `recall`.

    Average precision is that of `box_quality` where no two scores are equal. An image drawn twice counts twice. With
    fewer than two images `low` and `high` are NaN.

    Args:
        predicted: the predicted boxes of each image.
        true: the ground-truth boxes of each image, in the same order.
        classes: the number of classes.
        threshold: precision and recall count the boxes with at least this score, at IoU .5.
        resamples: bootstrap resamples, at least 1.
        seed: the same seed gives the same intervals.
        level: confidence level in (0, 1).

    Raises:
        ValueError: `resamples` or `level` is out of range.
    """
    check_bootstrap(resamples, level)
    matches = [_match(predicted, true, label) for label in range(classes)]
    images = len(true)
    values = _measures(matches, np.ones(images), threshold)
    if images < 2:
        return {name: Interval(value, math.nan, math.nan, level) for name, value in zip(MEASURES, values, strict=True)}
    generator = np.random.default_rng(seed)
    draws = generator.multinomial(images, np.full(images, 1 / images), size=resamples)
    replicates = np.array([_measures(matches, weights.astype(np.float64), threshold) for weights in draws])
    return {
        name: percentile_interval(value, column, level)
        for name, value, column in zip(MEASURES, values, replicates.T, strict=True)
    }


def _match(predicted: Sequence[Boxes], true: Sequence[Boxes], label: int) -> _ClassMatches:
    image, scores, true_positive, true_count = [], [], [], []
    for index, (image_predicted, image_true) in enumerate(zip(predicted, true, strict=True)):
        of_class = image_predicted.select(image_predicted.labels == label)
        true_of_class = image_true.select(image_true.labels == label)
        image.append(np.full(len(of_class.scores), index))
        scores.append(of_class.scores)
        by_iou = np.array([true_positives_at(of_class, true_of_class, float(iou)) for iou in IOUS])
        true_positive.append(by_iou.reshape(len(IOUS), -1))
        true_count.append(len(true_of_class.scores))
    values = np.concatenate(scores)
    order = np.argsort(-values, kind="stable")
    return _ClassMatches(
        np.concatenate(image)[order],
        values[order],
        np.concatenate(true_positive, axis=1)[:, order],
        np.array(true_count),
    )


def _measures(matches: Sequence[_ClassMatches], weights: Floats, threshold: float) -> tuple[float, ...]:
    """The five measures where each image counts by its weight (images,)."""
    precisions, true_positives, positives, true_boxes = [], 0.0, 0.0, 0.0
    for of_class in matches:
        total = float((weights * of_class.true_count).sum())
        true_boxes += total
        weight = weights[of_class.image]
        above = of_class.scores >= threshold
        positives += float(weight[above].sum())
        true_positives += float((weight * of_class.true_positive[0])[above].sum())
        if total:
            precisions.append(_average_precision(of_class.true_positive * weight, weight, total))
    by_iou = np.mean(precisions, axis=0) if precisions else np.full(len(IOUS), np.nan)
    return (
        float(by_iou.mean()),
        float(by_iou[0]),
        float(by_iou[5]),
        true_positives / positives if positives else math.nan,
        true_positives / true_boxes if true_boxes else math.nan,
    )


def _average_precision(true_positive: Floats, weight: Floats, total: float) -> Floats:
    """COCO's average precision at each IoU (10,): precision made monotone, at 101 recalls."""
    hits, count = np.cumsum(true_positive, axis=1), np.cumsum(weight)
    precision = np.divide(hits, count, out=np.zeros_like(hits), where=count > 0)
    monotone = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    monotone = np.concatenate([monotone, np.zeros((len(monotone), 1))], axis=1)
    ranks = [np.searchsorted(row / total, RECALLS) for row in hits]
    return np.array([row[rank].mean() for row, rank in zip(monotone, ranks, strict=True)])
