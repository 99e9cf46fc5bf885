"""How far average precision, precision and recall of boxes could have come out otherwise with other test images.

matches of every found box at ten IoUs, once -> images drawn anew as weights -> cumulative sums -> the same measures
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daad.metrics.box_quality import Boxes, right_at
from daad.metrics.intervals import Interval, check_bootstrap, percentile_interval

Floats = npt.NDArray[np.float64]
IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MEASURES = ("ap", "ap50", "ap75", "precision", "recall")


@dataclass(frozen=True)
class _Class:
    """The found boxes of a class by falling score: their image (n,), and which are right at each IoU (10, n); how many
    true ones each image has (images,)."""

    image: npt.NDArray[np.int64]
    scores: Floats
    right: npt.NDArray[np.bool_]
    there: npt.NDArray[np.int64]


def box_intervals(
    found: Sequence[Boxes],
    true: Sequence[Boxes],
    classes: int,
    threshold: float,
    *,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """The percentile bootstrap intervals over images of `ap`, `ap50` and `ap75` (as `box_quality` gives them where no
    scores are equal) and of
    `precision` and `recall` at IoU .5 of the boxes from score `threshold` on; same seed same result.

    An image drawn twice counts twice. With fewer than two images `low` and `high` are NaN. Raises ValueError for
    `resamples` below 1 or a `level` outside (0, 1).
    """
    check_bootstrap(resamples, level)
    tables = [_table(found, true, label) for label in range(classes)]
    images = len(true)
    values = _measured(tables, np.ones(images), threshold)
    if images < 2:
        return {name: Interval(value, math.nan, math.nan, level) for name, value in zip(MEASURES, values, strict=True)}
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(images, np.full(images, 1 / images), size=resamples)
    replicates = np.array([_measured(tables, weights.astype(np.float64), threshold) for weights in drawn])
    return {
        name: percentile_interval(value, replicates[:, place], level)
        for place, (name, value) in enumerate(zip(MEASURES, values, strict=True))
    }


def _table(found: Sequence[Boxes], true: Sequence[Boxes], label: int) -> _Class:
    image, scores, right, there = [], [], [], []
    for place, (mine, theirs) in enumerate(zip(found, true, strict=True)):
        a, b = mine.some(mine.labels == label), theirs.some(theirs.labels == label)
        image.append(np.full(len(a.scores), place))
        scores.append(a.scores)
        right.append(np.array([right_at(a, b, float(iou)) for iou in IOUS]).reshape(len(IOUS), -1))
        there.append(len(b.scores))
    values = np.concatenate(scores)
    order = np.argsort(-values, kind="stable")
    return _Class(np.concatenate(image)[order], values[order], np.concatenate(right, axis=1)[:, order], np.array(there))


def _measured(tables: Sequence[_Class], weights: Floats, threshold: float) -> tuple[float, ...]:
    """The five measures where each image counts by its weight."""
    precisions, right, given, there = [], 0.0, 0.0, 0.0
    for table in tables:
        total = float((weights * table.there).sum())
        there += total
        weight = weights[table.image]
        shown = table.scores >= threshold
        given += float(weight[shown].sum())
        right += float((weight * table.right[0])[shown].sum())
        if total:
            precisions.append(_average_precision(table.right * weight, weight, total))
    each = np.mean(precisions, axis=0) if precisions else np.full(len(IOUS), np.nan)
    return (
        float(each.mean()),
        float(each[0]),
        float(each[5]),
        right / given if given else math.nan,
        right / there if there else math.nan,
    )


def _average_precision(right: Floats, weight: Floats, total: float) -> Floats:
    """COCO's, at each IoU: precision made monotone, at 101 recalls (10,)."""
    hits, count = np.cumsum(right, axis=1), np.cumsum(weight)
    precision = np.divide(hits, count, out=np.zeros_like(hits), where=count > 0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.concatenate([best, np.zeros((len(best), 1))], axis=1)
    places = [np.searchsorted(row / total, RECALLS) for row in hits]
    return np.array([row[place].mean() for row, place in zip(best, places, strict=True)])
