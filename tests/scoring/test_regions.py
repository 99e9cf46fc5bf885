"""Regions of a map: those a flood fill finds, highest peak first."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from daad.scoring.prediction import Region
from daad.scoring.regions import find_regions

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9)
MAPS = arrays(np.float32, SHAPES, elements=st.integers(-2, 3), fill=st.nothing())


def flood_fill(anomaly_map, threshold):
    """Every region by walking from pixel to pixel, as (first pixel, Region)."""
    height, width = anomaly_map.shape
    seen, found = set(), []
    for start in np.ndindex(height, width):
        if start in seen or not anomaly_map[start] > threshold:
            continue
        pixels, edge = [], [start]
        seen.add(start)
        while edge:
            y, x = edge.pop()
            pixels.append((y, x))
            for near in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                inside = 0 <= near[0] < height and 0 <= near[1] < width
                if inside and near not in seen and anomaly_map[near] > threshold:
                    seen.add(near)
                    edge.append(near)
        ys, xs = [y for y, _ in pixels], [x for _, x in pixels]
        box = (min(xs), min(ys), max(xs) + 1, max(ys) + 1)
        peak = max(float(anomaly_map[pixel]) for pixel in pixels)
        found.append((start, Region(box, len(pixels), peak, (sum(xs) / len(pixels), sum(ys) / len(pixels)))))
    return [region for _, region in sorted(found, key=lambda one: (-one[1].peak, one[0]))]


@given(
    MAPS, st.sampled_from([-3.0, -1.0, 0.0, 1.0, 1.5, 5.0]), st.integers(1, 4), st.sampled_from([None, 0, 1, 3, 100])
)
def test_regions_are_those_of_a_flood_fill(anomaly_map, threshold, min_area, limit):
    expected = [region for region in flood_fill(anomaly_map, threshold) if region.area >= min_area]
    found = find_regions(anomaly_map, threshold, min_area=min_area, limit=limit)
    assert found == tuple(expected if limit is None else expected[:limit])


def test_a_pixel_at_the_threshold_is_not_above_it():
    peak = np.float32(0.1)
    anomaly_map = np.array([[0.0, peak]], dtype=np.float32)
    assert find_regions(anomaly_map, float(peak)) == ()
    just_below = float(np.nextafter(float(peak), 0.0))  # below in float64, the same in float32
    assert find_regions(anomaly_map, just_below) == (Region((1, 0, 2, 1), 1, float(peak), (1.0, 0.0)),)


def test_equal_peaks_come_in_the_order_of_their_first_pixel():
    anomaly_map = np.array([[0, 0, 0, 2], [2, 0, 0, 0], [0, 0, 3, 0]], dtype=np.float32)
    assert [region.box[:2] for region in find_regions(anomaly_map, 1)] == [(2, 2), (3, 0), (0, 1)]


def test_a_small_region_does_not_use_up_the_limit():
    anomaly_map = np.array([[9, 0, 1, 1]], dtype=np.float32)
    assert [region.area for region in find_regions(anomaly_map, 0.5, min_area=2, limit=1)] == [2]


def test_the_limit_is_a_hundred_unless_told_otherwise():
    dots = np.zeros((30, 30), dtype=np.float32)
    dots[::2, ::2] = 1
    assert len(find_regions(dots, 0.5)) == 100
    assert len(find_regions(dots, 0.5, limit=None)) == 225


def test_regions_hold_plain_numbers():
    (region,) = find_regions(np.ones((2, 2), dtype=np.float32), 0)
    values = [*region.box, region.area, region.peak, *region.centroid]
    assert [type(value) for value in values] == [int] * 5 + [float] * 3


@pytest.mark.parametrize(
    ("anomaly_map", "threshold", "options", "text"),
    [
        (np.zeros(3, np.float32), 0.0, {}, r"\(H, W\), found \(3,\)"),
        (np.array([[math.nan]], np.float32), 0.0, {}, "holds NaN"),
        (np.zeros((2, 2), np.float32), math.nan, {}, "threshold is NaN"),
        (np.zeros((2, 2), np.float32), 0.0, {"min_area": 0}, "min_area"),
        (np.zeros((2, 2), np.float32), 0.0, {"limit": -1}, "limit"),
    ],
)
def test_unusable_input_is_refused_with_its_reason(anomaly_map, threshold, options, text):
    with pytest.raises(ValueError, match=text):
        find_regions(anomaly_map, threshold, **options)
