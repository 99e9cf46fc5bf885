"""The bounded histogram keeps the order of floats and never depends on how the data came."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daad.metrics.histogram import Histogram, order_keys

FLOATS = st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=30)


def histogram_of(parts, max_bins=16, untouched_bits=0):
    histogram = Histogram(np.uint32, 1, max_bins, untouched_bits)
    for part in parts:
        histogram.add(np.array(part, dtype=np.uint32), np.ones((1, len(part)), dtype=np.int64))
    return histogram


def content(histogram):
    return histogram.level, histogram.keys.tolist(), histogram.columns.tolist()


@given(FLOATS)
def test_keys_order_as_the_floats_do(values):
    floats = np.array(values, dtype=np.float32)
    keys = order_keys(floats)
    assert keys.dtype == np.uint32
    np.testing.assert_array_equal(keys[:, None] < keys, floats[:, None] < floats)
    np.testing.assert_array_equal(keys[:, None] == keys, floats[:, None] == floats)


def test_negative_zero_is_zero():
    keys = order_keys(np.array([-0.0, 0.0, -1e-45, 1e-45], dtype=np.float32))
    assert keys[0] == keys[1] and keys[2] < keys[0] < keys[3]


@given(st.lists(st.lists(st.integers(0, 15), max_size=20), max_size=5))
def test_it_counts_exactly_while_the_keys_fit(parts):
    expected = Counter(key for part in parts for key in part)
    histogram = histogram_of(parts)
    assert histogram.level == 0
    assert dict(zip(histogram.keys.tolist(), histogram.columns[0].tolist(), strict=True)) == expected


@settings(max_examples=60)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=80), st.integers(0, 80), st.integers(0, 80))
def test_content_and_level_do_not_depend_on_split_order_or_merge(keys, first, second):
    expected = content(histogram_of([keys]))
    first, second = sorted((first, second))
    parts = [keys[:first], keys[first:second], keys[second:]]
    assert content(histogram_of(parts)) == expected
    assert content(histogram_of([[key] for key in reversed(keys)])) == expected
    merged = histogram_of([parts[2]])
    merged.merge(histogram_of([parts[0]]))
    merged.merge(histogram_of([parts[1]]))
    assert content(merged) == expected


def test_merging_a_coarser_histogram_into_a_finer_one_makes_it_as_coarse():
    coarse, fine = histogram_of([range(20)]), histogram_of([[0, 21]])
    fine.merge(coarse)
    assert content(fine) == content(histogram_of([range(20), [0, 21]]))
    assert fine.level == 1 and fine.keys.tolist() == [*range(0, 21, 2)]


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=80))
def test_the_level_is_the_smallest_that_fits(keys):
    histogram = histogram_of([keys])
    assert len(histogram.keys) <= 16
    assert sum(histogram.columns[0]) == len(keys)
    assert histogram.level == 0 or len({key >> (histogram.level - 1) for key in keys}) > 16


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=80))
def test_group_bits_survive_coarsening(keys):
    histogram = histogram_of([keys], untouched_bits=3)
    groups = Counter(key & 7 for key in keys)
    for group, count in groups.items():
        assert histogram.columns[0, (histogram.keys & 7) == group].sum() == count


def test_unlike_histograms_do_not_merge_and_too_few_bins_are_refused():
    with pytest.raises(ValueError, match="16 and 32 bins"):
        histogram_of([]).merge(histogram_of([], max_bins=32))
    with pytest.raises(ValueError, match="max_bins must be at least 8"):
        histogram_of([], max_bins=4, untouched_bits=3)
