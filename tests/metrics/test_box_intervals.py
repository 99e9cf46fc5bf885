"""Intervals of box measures: around the library's values, narrow with many images, wide or NaN with few."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daad.metrics.box_intervals import box_intervals
from daad.metrics.box_quality import Boxes, box_quality
from tests.metrics.test_box_quality import boxes, random_boxes


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 12), st.integers(0, 6))
def test_values_equal_those_of_the_library(seed: int, images: int, guesses: int, true_boxes: int) -> None:
    predicted = [random_boxes(guesses, seed + 2 * i) for i in range(images)]
    true = [random_boxes(true_boxes, seed + 2 * i + 1)._replace(scores=np.ones(true_boxes)) for i in range(images)]
    quality = box_quality(predicted, true, ["a", "b"], {})
    measured = box_intervals(predicted, true, 2, 0.5, resamples=3)
    for name in ("ap", "ap50", "ap75"):
        assert measured[name].value == pytest.approx(getattr(quality, name), abs=1e-6, nan_ok=True)


def two_thirds_right(count: int) -> tuple[list[Boxes], list[Boxes]]:
    """Images with a box each, predicted correctly in two of three."""
    true = [boxes((0, 0, 20, 20, 0, 1)) for _ in range(count)]
    predicted = [boxes((0, 0, 20, 20 if i % 3 else 4, 0, 0.9 - 0.001 * i)) for i in range(count)]
    return predicted, true


def test_the_interval_holds_the_value_and_narrows_with_more_images() -> None:
    widths = []
    for count in (15, 150):
        measured = box_intervals(*two_thirds_right(count), 1, 0.5)
        for name in ("ap50", "precision", "recall"):
            assert measured[name].low <= measured[name].value <= measured[name].high, name
        assert measured["recall"].value == pytest.approx(2 / 3) == pytest.approx(measured["precision"].value)
        widths.append(measured["recall"].high - measured["recall"].low)
    assert widths[1] < widths[0] / 2


def test_a_seed_repeats_and_one_image_gives_no_bounds() -> None:
    predicted, true = two_thirds_right(12)
    assert box_intervals(predicted, true, 1, 0.5) == box_intervals(predicted, true, 1, 0.5)
    one_image = box_intervals(predicted[1:2], true[1:2], 1, 0.5)["ap50"]
    assert one_image.value == pytest.approx(1) and math.isnan(one_image.low) and math.isnan(one_image.high)


def test_precision_counts_only_boxes_from_the_threshold_on() -> None:
    true = [boxes((0, 0, 20, 20, 0, 1), (30, 30, 50, 50, 1, 1))]
    predicted = [boxes((0, 0, 20, 20, 0, 0.9), (30, 30, 50, 50, 1, 0.4), (60, 60, 70, 70, 1, 0.8))]
    measured = box_intervals(predicted, true, 2, 0.5)
    assert (measured["precision"].value, measured["recall"].value) == (0.5, 0.5)
    assert box_intervals(predicted, true, 2, 0.95)["recall"].value == 0
    assert math.isnan(box_intervals(predicted, true, 2, 0.95)["precision"].value)
