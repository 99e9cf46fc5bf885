"""How well scores rank anomalous above normal: AUROC, average precision, best F1, FPR at a TPR.

Every function takes `labels` (n,) of 0 (normal) and 1 (anomalous) and `scores` (n,), higher is more anomalous and
infinities allowed. Equal scores are one threshold, so the result never depends on the order of the data. Where a
class is missing the result is NaN. ValueError: empty or unequal lengths, a label other than 0 and 1, a NaN score.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve in [0, 1]: how often an anomalous image outscores a normal one, ties counting half."""
    _, normal, anomalous = tally(labels, scores)
    return auroc_from_counts(normal, anomalous)


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Average precision in [0, 1], step-wise as scikit-learn computes it (no interpolation)."""
    _, normal, anomalous = tally(labels, scores)
    return average_precision_from_counts(normal, anomalous)


def f1_max(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The best F1 in [0, 1] over all thresholds.

    The threshold is chosen on the labels it is measured on: an upper bound for comparing rankings, not a way to set
    a threshold.
    """
    _, normal, anomalous = tally(labels, scores)
    if _one_class(normal, anomalous):
        return math.nan
    positives, true_positives = np.cumsum(normal + anomalous), np.cumsum(anomalous)
    return float(np.max(2 * true_positives / (positives + true_positives[-1])))


def fpr_at_tpr(labels: npt.ArrayLike, scores: npt.ArrayLike, tpr: float = 0.95) -> float:
    """The smallest false-positive rate in [0, 1] among the thresholds whose true-positive rate is at least `tpr`.

    Also raises ValueError for a `tpr` outside (0, 1].
    """
    if not 0 < tpr <= 1:
        raise ValueError(f"tpr must lie in (0, 1], found {tpr}")
    false_positive, true_positive, _ = roc_curve(labels, scores)
    if np.isnan(false_positive).any() or np.isnan(true_positive).any():
        return math.nan
    return float(false_positive[np.argmax(true_positive >= tpr)])


def roc_curve(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """All points of the ROC curve as (fpr, tpr, thresholds), from (0, 0) at infinity, one more per distinct score.

    Thresholds descend; a point counts the scores `>= threshold`. The rate of a missing class is NaN throughout.
    """
    thresholds, normal, anomalous = tally(labels, scores)
    return _cumulative_rate(normal), _cumulative_rate(anomalous), np.concatenate(([np.inf], thresholds))


def tally(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Distinct scores in descending order with the count of normal and of anomalous images at each: three (k,)."""
    is_anomalous, values = _validated(labels, scores)
    order = np.argsort(values)[::-1]
    values, is_anomalous = values[order], is_anomalous[order]
    is_last = np.append(values[1:] != values[:-1], True)  # of equal scores
    positives = np.flatnonzero(is_last) + 1
    true_positives = np.cumsum(is_anomalous)[is_last]
    anomalous = np.diff(true_positives, prepend=0).astype(np.float64)
    return values[is_last], np.diff(positives, prepend=0) - anomalous, anomalous


def auroc_from_counts(normal: Floats, anomalous: Floats) -> float:
    """AUROC from the counts per threshold, thresholds descending, two (k,); NaN for a missing class."""
    if _one_class(normal, anomalous):
        return math.nan
    true_positives = np.cumsum(anomalous)
    pairs = np.sum(normal * (true_positives - anomalous / 2))  # in the right order, ties half
    return float(pairs / (normal.sum() * true_positives[-1]))


def average_precision_from_counts(normal: Floats, anomalous: Floats) -> float:
    """Average precision from the counts per threshold, thresholds descending, two (k,); NaN for a missing class."""
    if _one_class(normal, anomalous):
        return math.nan
    positives, true_positives = np.cumsum(normal + anomalous), np.cumsum(anomalous)
    return float(np.sum(anomalous * (true_positives / np.maximum(positives, 1))) / true_positives[-1])


def _one_class(normal: Floats, anomalous: Floats) -> bool:
    return not (normal.any() and anomalous.any())


def _cumulative_rate(counts: Floats) -> Floats:
    cumulative = np.concatenate(([0.0], np.cumsum(counts)))
    return cumulative / cumulative[-1] if cumulative[-1] else np.full_like(cumulative, np.nan)


def _validated(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], Floats]:
    label_array: npt.NDArray[Any] = np.asarray(labels)
    values = np.asarray(scores, dtype=np.float64)
    if label_array.ndim != 1 or label_array.shape != values.shape:
        raise ValueError(
            f"labels and scores must be two lists of one length, found {label_array.shape} and {values.shape}"
        )
    if label_array.size == 0:
        raise ValueError("labels and scores are empty: give at least one image")
    is_anomalous = label_array == 1
    if not np.all(is_anomalous | (label_array == 0)):
        raise ValueError(f"labels must be 0 (normal) or 1 (anomalous), found {np.unique(label_array)[:5].tolist()}")
    if np.isnan(values).any():
        raise ValueError(f"score {int(np.argmax(np.isnan(values)))} is NaN: leave out images that were not judged")
    return is_anomalous, values
