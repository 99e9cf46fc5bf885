"""How soon a ranking shows an anomalous item: against brute force and against chance."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from daad.metrics.ranking import average_precision
from daad.metrics.ranking_speed import expected_first_detection, first_detection, improvement_factor


@pytest.mark.parametrize(
    ("labels", "scores"),
    [([1, 0, 0, 1, 0], [1, 2, 3, 4, 5]), ([1, 0, 1, 0], [2, 2, 2, 3]), ([0, 1, 0, 0, 1], [7] * 5)],
)
def test_first_detection_is_its_mean_over_all_orders_of_equal_scores(labels: list[int], scores: list[float]) -> None:
    ranks = []
    for order in permutations(range(len(labels))):
        ranking = sorted(order, key=lambda item: -scores[item])  # stable: ties stay in this order
        ranks.append(1 + next(rank for rank, item in enumerate(ranking) if labels[item]))
    assert first_detection(labels, scores) == pytest.approx(np.mean(ranks))


def test_by_chance_the_factor_is_about_one_and_the_first_comes_where_expected() -> None:
    rng = np.random.default_rng(0)
    many, few = np.arange(20_000) < 2_000, np.arange(2_000) < 40
    assert np.mean([improvement_factor(many, rng.random(20_000)) for _ in range(20)]) == pytest.approx(1, abs=0.05)
    ranks = [first_detection(few, rng.random(2_000)) for _ in range(1000)]
    assert np.mean(ranks) == pytest.approx(expected_first_detection(2000, 40), rel=0.1)


def test_a_perfect_ranking_improves_by_one_over_the_share() -> None:
    labels = np.arange(100) < 5
    assert improvement_factor(labels, -np.arange(100)) == pytest.approx(20)
    assert average_precision(labels, -np.arange(100)) == first_detection(labels, -np.arange(100)) == 1


def test_without_anomalous_items_it_is_nan() -> None:
    assert np.isnan(first_detection([0, 0], [1, 2])) and np.isnan(expected_first_detection(2, 0))
