"""The score from which a box is shown is that of the best F1 on held-out images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daad.scoring.confidence import UNTESTED, Confidence


def f1(scores: np.ndarray, right: np.ndarray, there: int, threshold: float) -> float:
    kept = scores >= threshold
    return 2 * (right & kept).sum() / max(1, kept.sum() + there)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from([0.05, 0.2, 0.3, 0.7, 0.9]), st.booleans()), min_size=1, max_size=20),
    st.integers(0, 5),
)
def test_no_other_threshold_is_better(found: list[tuple[float, bool]], missed: int) -> None:
    scores, right = np.array([s for s, _ in found]), np.array([r for _, r in found])
    there = int(right.sum()) + missed
    chosen = Confidence.from_found(scores, right, images=3, boxes=there)
    if not right.any():
        assert chosen.threshold == UNTESTED and chosen.note is not None
        return
    assert chosen.f1 == pytest.approx(f1(scores, right, there, chosen.threshold))
    assert chosen.f1 == pytest.approx(max(f1(scores, right, there, t) for t in scores))
    assert chosen.note is None and chosen.precision is not None and chosen.recall is not None
    assert chosen.f1 == pytest.approx(2 * chosen.precision * chosen.recall / (chosen.precision + chosen.recall))


def test_the_threshold_lies_half_way_to_the_next_lower_score() -> None:
    chosen = Confidence.from_found([0.9, 0.8, 0.2], [True, True, False], images=2, boxes=2)
    assert chosen.threshold == pytest.approx(0.5) and chosen.f1 == 1
    assert Confidence.from_found([0.9], [True], images=1, boxes=1).threshold == pytest.approx(0.45)


def test_without_boxes_or_hits_it_says_so() -> None:
    for found in (([], []), ([0.4], [False])):
        chosen = Confidence.from_found(*found, images=4, boxes=2)
        assert chosen.threshold == UNTESTED and "could not be set" in str(chosen.note) and chosen.f1 is None
