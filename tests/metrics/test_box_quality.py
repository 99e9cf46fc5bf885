"""Average precision of boxes against hand-made cases and a plain implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from daad.boxes.geometry import iou
from daad.metrics.box_quality import Boxes, box_quality, ious, true_positives_at

NONE: dict[str, tuple[float, float]] = {}


def boxes(*rows: tuple[float, float, float, float, int, float]) -> Boxes:
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Boxes(table[:, :4], table[:, 4].astype(np.int64), table[:, 5])


def random_boxes(count: int, seed: int) -> Boxes:
    random = np.random.default_rng(seed)
    low = random.integers(0, 40, (count, 2))
    corners = np.concatenate([low, low + random.integers(4, 30, (count, 2))], axis=1).astype(np.float64)
    return Boxes(corners, random.integers(0, 2, count), random.random(count))


def plain_ap(predicted: list[Boxes], true: list[Boxes], label: int, threshold: float) -> float:
    """COCO's: precision at 101 recalls, made monotone, over all images."""
    scores, true_positive, true_count = [], [], 0
    for image_predicted, image_true in zip(predicted, true, strict=True):
        of_class = image_predicted.select(image_predicted.labels == label)
        true_of_class = image_true.select(image_true.labels == label)
        scores += of_class.scores.tolist()
        true_positive += true_positives_at(of_class, true_of_class, threshold).tolist()
        true_count += len(true_of_class.labels)
    if not true_count:
        return math.nan
    order = np.argsort(-np.array(scores), kind="stable")
    hits = np.cumsum(np.array(true_positive, bool)[order])
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / true_count
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.mean([monotone[recall >= r].max(initial=0) for r in np.linspace(0, 1, 101)]))


def test_a_case_by_hand() -> None:
    true = [boxes((0, 0, 10, 10, 0, 1), (20, 20, 30, 30, 0, 1)), boxes((0, 0, 10, 10, 0, 1))]
    predicted = [
        boxes((0, 0, 10, 10, 0, 0.9), (0, 0, 10, 9, 0, 0.8), (50, 50, 60, 60, 0, 0.3)),
        boxes((0, 0, 10, 8, 0, 0.7)),
    ]
    quality = box_quality(predicted, true, ["a"], NONE)
    # by score: true positive, duplicate, true positive at .5 and .75 (IoU .8), false positive
    # recall: 1/3, 1/3, 2/3, 2/3
    expected = (34 * 1 + 33 * 2 / 3) / 101
    assert quality.ap50 == pytest.approx(expected) and quality.ap75 == pytest.approx(expected)
    at_85 = 34 / 101
    assert quality.ap == pytest.approx((7 * expected + 3 * at_85) / 10, abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 12), st.integers(1, 6))
def test_average_precision_equals_a_plain_implementation(seed: int, images: int, guesses: int, true_boxes: int) -> None:
    predicted = [random_boxes(guesses, seed + 2 * i) for i in range(images)]
    true = [random_boxes(true_boxes, seed + 2 * i + 1)._replace(scores=np.ones(true_boxes)) for i in range(images)]
    quality = box_quality(predicted, true, ["a", "b"], NONE)
    for threshold, value in ((0.5, quality.ap50), (0.75, quality.ap75)):
        by_class = [plain_ap(predicted, true, label, threshold) for label in (0, 1)]
        known = [ap for ap in by_class if not math.isnan(ap)]
        assert value == pytest.approx(np.mean(known), abs=1e-6)


def test_ap_by_size_ignores_true_positives_of_another_size() -> None:
    true = [boxes((0, 0, 10, 10, 0, 1), (20, 20, 60, 60, 0, 1))]
    predicted = [boxes((20, 20, 60, 60, 0, 0.9))]
    quality = box_quality(predicted, true, ["a"], {"small": (0, 20), "large": (20, math.inf)})
    assert quality.by_size == {"small": 0.0, "large": pytest.approx(1.0)}


def test_a_class_or_size_without_true_boxes_is_nan() -> None:
    quality = box_quality([boxes((0, 0, 5, 5, 1, 0.5))], [boxes((0, 0, 5, 5, 0, 1))], ["a", "b"], {"huge": (99, 999)})
    assert quality.by_class["a"] == 0 and math.isnan(quality.by_class["b"]) and math.isnan(quality.by_size["huge"])
    nothing = box_quality([boxes()], [boxes()], ["a"], {"all": (0, math.inf)})
    assert math.isnan(nothing.ap) and math.isnan(nothing.by_class["a"]) and math.isnan(nothing.by_size["all"])


def test_a_true_box_is_matched_once_by_the_highest_score() -> None:
    true = boxes((0, 0, 10, 10, 0, 1))
    predicted = boxes((0, 0, 10, 9, 0, 0.5), (0, 0, 10, 10, 0, 0.4), (0, 0, 10, 10, 1, 0.9))
    assert true_positives_at(predicted, true).tolist() == [True, False, False]
    assert (
        true_positives_at(predicted, boxes()).tolist() == [False] * 3
        and true_positives_at(boxes(), true).tolist() == []
    )


def test_ious_equal_those_of_torch() -> None:
    a, b = random_boxes(9, 0).corners, random_boxes(5, 1).corners
    np.testing.assert_allclose(ious(a, b), iou(torch.from_numpy(a), torch.from_numpy(b)).numpy(), rtol=1e-12)
