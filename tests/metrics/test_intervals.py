"""Bootstrap intervals: reproducible, of the width theory asks for, and NaN where there are too few images."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from daad.metrics.intervals import Interval, bootstrap, percentile_interval, proportion
from daad.metrics.ranking import auroc, average_precision

RNG = np.random.default_rng(5)
LABELS = np.repeat([0, 1], [120, 60])
SCORES = RNG.normal(size=180) + LABELS


def test_one_seed_gives_one_interval_and_another_seed_another():
    once = bootstrap(auroc, LABELS, SCORES, seed=1)
    assert once == bootstrap(auroc, LABELS, SCORES, seed=1)
    assert once != bootstrap(auroc, LABELS, SCORES, seed=2)


def test_the_value_is_the_metric_itself_and_the_interval_holds_it():
    interval = bootstrap(average_precision, LABELS, SCORES)
    assert interval.value == average_precision(LABELS, SCORES)
    assert interval.low < interval.value < interval.high
    assert interval.level == 0.95


@pytest.mark.parametrize(("level", "normal_quantile"), [(0.95, 1.960), (0.8, 1.282)])
def test_the_interval_of_a_mean_is_the_one_of_the_normal_approximation(level, normal_quantile):
    anomalous = SCORES[LABELS == 1]
    interval = bootstrap(lambda y, s: s[y == 1].mean(), LABELS, SCORES, resamples=4000, level=level)
    half = normal_quantile * anomalous.std() / math.sqrt(len(anomalous))
    assert interval.low == pytest.approx(anomalous.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(anomalous.mean() + half, abs=0.1 * half)


def test_the_auroc_interval_has_the_width_of_delongs_method():
    normal, anomalous = SCORES[LABELS == 0], SCORES[LABELS == 1]
    wins = (anomalous[:, None] > normal).astype(float)
    variance = wins.mean(1).var(ddof=1) / len(anomalous) + wins.mean(0).var(ddof=1) / len(normal)
    interval = bootstrap(auroc, LABELS, SCORES, resamples=2000)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.12)


def test_every_resample_keeps_the_number_of_images_of_each_class():
    counts = set()

    def metric(labels, scores):
        counts.add((int((labels == 0).sum()), int((labels == 1).sum())))
        return 0.0

    bootstrap(metric, RNG.permutation(LABELS), SCORES, resamples=20)
    assert counts == {(120, 60)}


def test_resampled_scores_keep_their_own_label():
    labels = RNG.permutation(LABELS)
    assert bootstrap(auroc, labels, labels.astype(float), resamples=20) == Interval(1.0, 1.0, 1.0)


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_a_missing_class_gives_nan_throughout(labels):
    interval = bootstrap(auroc, labels, [1, 2, 3])
    assert all(math.isnan(bound) for bound in (interval.value, interval.low, interval.high))


def test_a_class_of_one_image_gives_a_value_but_no_bounds():
    interval = bootstrap(auroc, [0, 0, 1], [1, 2, 3])
    assert interval.value == 1 and math.isnan(interval.low) and math.isnan(interval.high)


def test_replicates_that_are_nan_are_left_out():
    assert percentile_interval(0.5, np.array([math.nan, 0.4, 0.6]), 0.5) == Interval(
        0.5, pytest.approx(0.45), pytest.approx(0.55), 0.5
    )
    assert math.isnan(percentile_interval(0.5, np.array([math.nan]), 0.5).low)


@pytest.mark.parametrize("wrong", [{"resamples": 0}, {"level": 0}, {"level": 1}, {"level": math.nan}])
def test_settings_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        bootstrap(auroc, LABELS, SCORES, **wrong)


def test_the_metric_refuses_nan_scores():
    with pytest.raises(ValueError, match="NaN"):
        bootstrap(auroc, [0, 1], [math.nan, 1])


@pytest.mark.parametrize(("successes", "total"), [(0, 20), (1, 20), (7, 20), (20, 20)])
def test_a_proportion_has_the_exact_binomial_interval(successes: int, total: int) -> None:
    expected = stats.binomtest(successes, total).proportion_ci(0.95, method="exact")
    interval = proportion(successes, total)
    assert interval.value == successes / total
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_proportion_of_nothing_is_not_a_number() -> None:
    assert math.isnan(proportion(0, 0).value)
