"""The ranking metrics agree with scikit-learn and with counting every pair and threshold, ties included."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from daad.metrics.ranking import auroc, average_precision, f1_max, fpr_at_tpr, roc_curve

ALL = [auroc, average_precision, f1_max, fpr_at_tpr]
SCORE = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, allow_nan=False))


@st.composite
def two_classes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    labels = draw(st.lists(st.integers(0, 1), min_size=2, max_size=40).filter(lambda ones: 0 < sum(ones) < len(ones)))
    scores = draw(st.lists(SCORE, min_size=len(labels), max_size=len(labels)))
    return np.array(labels), np.array(scores)


@given(two_classes())
def test_auroc_is_the_share_of_pairs_in_the_right_order(data):
    labels, scores = data
    gap = scores[labels == 1][:, None] - scores[labels == 0]
    assert auroc(labels, scores) == ((gap > 0).sum() + (gap == 0).sum() / 2) / gap.size


@given(two_classes())
def test_auroc_average_precision_and_curve_are_those_of_scikit_learn(data):
    labels, scores = data
    assert auroc(labels, scores) == pytest.approx(oracle.roc_auc_score(labels, scores), abs=1e-12)
    assert average_precision(labels, scores) == pytest.approx(oracle.average_precision_score(labels, scores), abs=1e-12)
    for ours, theirs in zip(
        roc_curve(labels, scores), oracle.roc_curve(labels, scores, drop_intermediate=False), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@settings(deadline=None)  # 40 calls of scikit-learn
@given(two_classes(), st.sampled_from([0.05, 0.3, 0.5, 0.55, 0.7, 0.95, 1.0]))
def test_f1_max_and_fpr_at_tpr_are_the_best_over_all_thresholds(data, tpr):
    labels, scores = data
    predictions = [scores >= threshold for threshold in scores]
    assert f1_max(labels, scores) == pytest.approx(
        max(oracle.f1_score(labels, predicted) for predicted in predictions), abs=1e-12
    )
    allowed = [predicted[labels == 0].mean() for predicted in predictions if predicted[labels == 1].mean() >= tpr]
    assert fpr_at_tpr(labels, scores, tpr) == min(allowed)


@pytest.mark.parametrize(("tpr", "reached"), [(0.55, 55), (0.95, 95), (0.07, 7), (0.29, 29)])
def test_a_tpr_that_is_reached_exactly_counts_as_reached(tpr, reached):
    labels = np.array([1] * reached + [0] + [1] * (100 - reached))
    scores = -np.arange(101.0)
    assert fpr_at_tpr(labels, scores, tpr) == 0


@settings(max_examples=30)
@given(two_classes(), st.randoms(use_true_random=False))
def test_the_order_of_the_images_changes_nothing(data, random):
    labels, scores = data
    order = list(range(len(labels)))
    random.shuffle(order)
    for metric in ALL:
        assert metric(labels[order], scores[order]) == metric(labels, scores)


def test_infinite_scores_rank_like_any_other():
    assert auroc([0, 0, 1, 1], [-math.inf, 0, 0, math.inf]) == 3.5 / 4


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("labels", [[0, 0], [1, 1]])
def test_a_missing_class_gives_nan(metric, labels):
    assert math.isnan(metric(labels, [0.1, 0.2]))


def test_the_curve_of_a_missing_class_has_nan_for_its_rate_alone():
    fpr, tpr, thresholds = roc_curve([0, 0], [0.1, 0.2])
    assert fpr.tolist() == [0, 0.5, 1] and np.isnan(tpr).all() and thresholds.tolist() == [math.inf, 0.2, 0.1]


@pytest.mark.parametrize("metric", [*ALL, roc_curve])
@pytest.mark.parametrize(
    ("labels", "scores", "text"),
    [
        ([], [], "empty"),
        ([0, 1], [0.1], "one length"),
        ([[0, 1]], [[0.1, 0.2]], "one length"),
        ([0, 1], [0.1, math.nan], "score 1 is NaN"),
        ([0, 2], [0.1, 0.2], "0 .normal. or 1"),
    ],
)
def test_unusable_data_is_refused_with_its_reason(metric, labels, scores, text):
    with pytest.raises(ValueError, match=text):
        metric(labels, scores)


@pytest.mark.parametrize("tpr", [0, -0.1, 1.1, math.nan])
def test_a_tpr_outside_its_range_is_refused(tpr):
    with pytest.raises(ValueError, match="tpr"):
        fpr_at_tpr([0, 1], [0, 1], tpr)
