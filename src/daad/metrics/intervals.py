"""Confidence intervals of a metric: how much it would vary with other test images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

Metric = Callable[[npt.NDArray[np.int64], npt.NDArray[np.float64]], float]


@dataclass(frozen=True, slots=True)
class Interval:
    """A metric with its bootstrap interval: `low` and `high` bound the middle `level` of the resampled values.

    `low` and `high` are NaN where the value is NaN or where the data do not show how much it would vary.
    """

    value: float
    low: float
    high: float
    level: float = 0.95


def bootstrap(
    metric: Metric,
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The percentile bootstrap interval of a metric over images, resampled within each class.

    Resampling within the class keeps both classes in every resample. A class of one image cannot vary, which would
    make the interval look narrower than it is. `low` and `high` are then NaN.

    Args:
        metric: `metric(labels, scores)`, such as any function of `metrics.ranking`.
        labels: (n,) of 0 (normal) and 1 (anomalous).
        scores: (n,), higher is more anomalous.
        resamples: bootstrap resamples, at least 1.
        seed: the same seed gives the same interval.
        level: confidence level in (0, 1).

    Raises:
        ValueError: the metric refuses the data, or `resamples` or `level` is out of range.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), ch. 13.
    """
    check_bootstrap(resamples, level)
    label_array = np.asarray(labels, dtype=np.int64)
    score_array = np.asarray(scores, dtype=np.float64)
    value = metric(label_array, score_array)
    classes = [np.flatnonzero(label_array == label) for label in np.unique(label_array)]
    if math.isnan(value) or min(len(members) for members in classes) < 2:
        return Interval(value, math.nan, math.nan, level)
    generator = np.random.default_rng(seed)
    resampled_labels = np.concatenate([label_array[members] for members in classes])
    replicates = np.empty(resamples)
    for i in range(resamples):
        chosen = [members[generator.integers(len(members), size=len(members))] for members in classes]
        replicates[i] = metric(resampled_labels, score_array[np.concatenate(chosen)])
    return percentile_interval(value, replicates, level)


def proportion(successes: int, total: int, level: float = 0.95) -> Interval:
    """A proportion with its exact binomial interval (Clopper & Pearson, Biometrika 1934); NaN for a total of 0.

    Unlike the bootstrap interval it has a width at 0 and at 1, where no resample can differ.
    """
    if total == 0:
        return Interval(math.nan, math.nan, math.nan, level)
    tail = (1 - level) / 2
    low = betaincinv(successes, total - successes + 1, tail) if successes else 0.0
    high = betaincinv(successes + 1, total - successes, 1 - tail) if successes < total else 1.0
    return Interval(successes / total, float(low), float(high), level)


def percentile_interval(value: float, replicates: npt.NDArray[np.float64], level: float) -> Interval:
    """The interval between the (1 - level) / 2 quantiles of the `replicates` (r,), leaving out those that are NaN."""
    known = replicates[~np.isnan(replicates)]
    if math.isnan(value) or known.size == 0:
        return Interval(value, math.nan, math.nan, level)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)


def check_bootstrap(resamples: int, level: float) -> None:
    """Raise ValueError unless there is at least one resample and the level lies in (0, 1)."""
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, found {resamples}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, such as 0.95, found {level}")
