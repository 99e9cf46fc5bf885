"""Conformal calibration: the promised false-alarm rate holds exactly, and p-value and decision never disagree."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from daad.errors import ConfigError
from daad.scoring.calibration import Calibration

SCORE = st.one_of(st.integers(-4, 4).map(float), st.floats(-1e9, 1e9, allow_nan=False))
SCORES = st.lists(SCORE, min_size=1, max_size=40)
RATE = st.one_of(st.integers(1, 99).map(lambda percent: percent / 100), st.floats(1e-6, 0.999))


def calibration(scores, rate=0.05, peaks=None):
    return Calibration(scores=scores, map_peaks=scores if peaks is None else peaks, false_alarm_rate=rate)


@given(st.lists(SCORE, min_size=2, max_size=30), RATE)
def test_of_exchangeable_normal_images_no_more_than_the_promised_share_is_flagged(scores, rate):
    # Exchangeable: each of the n + 1 is equally likely to be the new one, so the rate is this mean.
    flags = [calibration(scores[:i] + scores[i + 1 :], rate).is_anomalous(scores[i]) for i in range(len(scores))]
    fitted = calibration(scores[1:], rate)
    assert Fraction(sum(flags), len(flags)) <= Fraction(fitted.guaranteed_rate).limit_denominator(100)
    assert fitted.note is not None or fitted.guaranteed_rate <= rate


@given(st.sets(SCORE, min_size=2, max_size=30), RATE)
def test_without_ties_exactly_the_promised_share_is_flagged(scores, rate):
    scores = list(scores)
    flags = [calibration(scores[:i] + scores[i + 1 :], rate).is_anomalous(scores[i]) for i in range(len(scores))]
    assert sum(flags) == round(calibration(scores[1:], rate).guaranteed_rate * len(scores))


@given(SCORES, SCORE, RATE)
def test_the_decision_is_the_p_value_against_the_guaranteed_rate(scores, new, rate):
    fitted = calibration(scores, rate)
    for score in [new, *scores, *np.nextafter(scores, np.inf)]:
        assert fitted.is_anomalous(score) == (fitted.p_value(score) <= fitted.guaranteed_rate)
        assert fitted.is_anomalous(score) == (score > fitted.threshold)


@given(SCORES, SCORE)
def test_the_p_value_counts_the_held_out_scores_at_least_as_high(scores, new):
    assert calibration(scores).p_value(new) == (1 + sum(score >= new for score in scores)) / (len(scores) + 1)


@given(SCORES, RATE, RATE)
def test_a_higher_rate_never_raises_a_threshold(scores, one, other):
    low, high = sorted((one, other))
    fitted = calibration(scores, low)
    assert fitted.with_rate(high).threshold <= fitted.threshold
    assert fitted.with_rate(high).map_threshold <= fitted.map_threshold
    assert fitted.with_rate(high).guaranteed_rate >= fitted.guaranteed_rate


@pytest.mark.parametrize(
    ("rate", "n", "rank"),
    [
        *((0.05, 19, 19), (0.05, 39, 38), (0.05, 20, 20), (0.05, 100, 96), (0.01, 99, 99)),
        *((0.1, 9, 9), (0.3, 9, 7), (0.7, 9, 3), (0.001, 999, 999), (0.07, 99, 93), (0.29, 99, 71)),
    ],
)
def test_the_threshold_is_the_kth_smallest_score_without_rounding_errors(rate, n, rank):
    fitted = calibration([float(i) for i in range(1, n + 1)], rate, peaks=[100.0 * i for i in range(1, n + 1)])
    assert (fitted.threshold, fitted.map_threshold) == (rank, 100 * rank)
    assert fitted.note is None


@given(st.integers(1, 300), RATE)
def test_too_few_images_give_the_largest_score_and_a_note_and_only_then(n, rate):
    fitted = calibration([float(i) for i in range(n)], rate)
    too_few = Fraction(repr(rate)) < Fraction(1, n + 1)
    assert (fitted.note is not None) == too_few
    if too_few:
        assert fitted.threshold == n - 1
        assert fitted.guaranteed_rate == 1 / (n + 1)


@given(st.integers(1, 300), st.integers(1, 400))
def test_following_either_advice_of_the_note_clears_it(n, inverse):
    fitted = calibration([0.0] * n, 1 / (inverse + 1))
    if fitted.note is None:
        return
    needed = int(re.search(r"at least (\d+) normal", fitted.note)[1])
    assert calibration([0.0] * needed, fitted.false_alarm_rate).note is None
    assert calibration([0.0] * (needed - 1), fitted.false_alarm_rate).note is not None
    assert fitted.with_rate(float(re.search(r"a rate of ([\d.e-]+)\.$", fitted.note)[1])).note is None


def test_a_vanishing_rate_flags_only_what_exceeds_every_held_out_image():
    fitted = calibration([3.0, 1.0, 2.0], 1e-9)
    assert not fitted.is_anomalous(3.0) and fitted.is_anomalous(3.0001) and fitted.is_anomalous(math.inf)
    assert fitted.note.startswith("3 held-out normal images can only promise a false-alarm rate of 0.25, not 1e-09")


def test_arrays_give_what_their_scores_give_one_by_one():
    fitted = calibration([0.5, 0.1, 0.4, 0.4], 0.4)
    scores = np.array([[0.0, 0.1, 0.4], [0.45, 0.5, 9.0]], dtype=np.float32)
    assert fitted.p_value(scores).tolist() == [[fitted.p_value(float(s)) for s in row] for row in scores]
    assert fitted.is_anomalous(scores).tolist() == [[fitted.is_anomalous(float(s)) for s in row] for row in scores]
    assert isinstance(fitted.p_value(0.1), float) and isinstance(fitted.is_anomalous(np.float64(0.1)), bool)


@pytest.mark.parametrize("score", [math.nan, np.array([0.0, math.nan])])
def test_a_score_that_is_nan_is_refused(score):
    for verb in (calibration([1.0]).p_value, calibration([1.0]).is_anomalous):
        with pytest.raises(ValueError, match="NaN"):
            verb(score)


def test_it_survives_json_to_the_last_bit():
    rng = np.random.default_rng(0)
    fitted = Calibration.from_normals(rng.normal(size=50).astype(np.float32), rng.normal(size=50) * 1e-9, 0.05)
    again = Calibration.model_validate_json(fitted.model_dump_json())
    assert again == fitted
    assert set(fitted.model_dump()) == {"scores", "map_peaks", "false_alarm_rate", "unit"}


def test_order_of_the_held_out_images_does_not_matter():
    assert calibration([3.0, 1.0, 2.0]) == Calibration.from_normals([1, 2, 3], np.array([2, 3, 1]), 0.05)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"scores": ()}, "at least one normal image"),
        ({"scores": (1.0, math.nan)}, "not finite"),
        ({"map_peaks": (1.0, math.inf)}, "not finite"),
        ({"map_peaks": (1.0,)}, "2 scores but 1 map_peaks"),
        ({"false_alarm_rate": 0.0}, "false_alarm_rate"),
        ({"false_alarm_rate": math.nan}, "false_alarm_rate"),
        ({"threshold": 3.0}, "threshold"),
    ],
)
def test_unusable_fields_are_refused_by_name(wrong, text):
    with pytest.raises(ValidationError, match=text):
        Calibration(**{"scores": (1.0, 2.0), "map_peaks": (1.0, 2.0), "false_alarm_rate": 0.05, **wrong})


@pytest.mark.parametrize("rate", [0, 1, -0.1, 5, math.nan])
def test_another_rate_must_be_a_rate(rate):
    with pytest.raises(ConfigError, match="false_alarm_rate must lie between 0 and 1"):
        calibration([1.0]).with_rate(rate)


def test_it_cannot_be_changed_in_place():
    with pytest.raises(ValidationError):
        calibration([1.0]).false_alarm_rate = 0.5
