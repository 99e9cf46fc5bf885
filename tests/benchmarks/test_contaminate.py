"""Pools with known outliers."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.contaminate import contaminate

from daad import ConfigError, DataError

LABELS = np.repeat(np.arange(10), 100)


@pytest.mark.parametrize(("share", "outliers"), [(0.05, 5), (0.1, 11), (0.2, 25), (0.25, 33)])
def test_a_share_of_the_pool_is_outliers(share: float, outliers: int) -> None:
    rows, odd = contaminate(LABELS, 3, share, seed=0)
    assert odd.sum() == outliers == int(100 * share / (1 - share) + 1e-9) and len(rows) == 100 + outliers
    assert (LABELS[rows[~odd]] == 3).all() and (LABELS[rows[odd]] != 3).all()
    assert len(set(rows.tolist())) == len(rows)


def test_the_same_seed_gives_the_same_pool_and_another_another() -> None:
    first, again, other = (contaminate(LABELS, 3, 0.1, seed=seed, normals=50) for seed in (0, 0, 1))
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 2.0])
def test_a_share_that_makes_no_sense_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="share"):
        contaminate(LABELS, 3, share, seed=0)


def test_too_few_images_are_told() -> None:
    with pytest.raises(DataError, match="101 images of class 3"):
        contaminate(LABELS, 3, 0.1, seed=0, normals=101)
    with pytest.raises(DataError, match="of class 11"):
        contaminate(LABELS, 11, 0.1, seed=0)
    with pytest.raises(DataError, match="9900 images of other classes"):
        contaminate(LABELS, 3, 0.99, seed=0)
