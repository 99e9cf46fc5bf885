"""Streaming pixel metrics against brute force over all pixels, thresholds, regions and resampled images."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from daad.metrics.pixels import PixelMetrics

KEYS = ["pixel_auroc", "pixel_ap", "aupro_0.3", "aupro_0.05"]


def make_images(count, size, seed, strength=1.0, decimals=None):
    """Noise maps that rise, by an amount of each image's own, where some random boxes are marked."""
    rng = np.random.default_rng(seed)
    images = []
    for i in range(count):
        mask = np.zeros((size, size), dtype=bool)
        for _ in range(i % 3):
            top, left, height, width = rng.integers(0, size - 4, 2).tolist() + rng.integers(1, 5, 2).tolist()
            mask[top : top + height, left : left + width] = True
        anomaly_map = rng.normal(size=(size, size)) + mask * rng.gamma(2, strength / 2) - 0.5
        images.append(((anomaly_map if decimals is None else anomaly_map.round(decimals)).astype(np.float32), mask))
    return images


def streamed(images, max_bins=2**20):
    state = PixelMetrics(max_bins)
    for i, (anomaly_map, mask) in enumerate(images):
        state.update(anomaly_map, mask, name=f"{i:04}.png")
    return state


def flood(mask):
    """The pixel lists of the 8-connected regions, by walking."""
    unvisited = set(zip(*np.nonzero(mask), strict=True))
    regions = []
    while unvisited:
        region, edge = [], [unvisited.pop()]
        while edge:
            y, x = edge.pop()
            region.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & unvisited
            unvisited -= near
            edge += near
        regions.append(region)
    return regions


def brute_aupro(images, limit):
    """Every threshold and every region in turn, then the trapezoids of the curve cut at the limit."""
    regions = [np.array([m[p] for p in region]) for m, mask in images for region in flood(mask)]
    normal = np.concatenate([m[~mask] for m, mask in images])
    curve = [(0.0, 0.0)]
    for threshold in np.unique(np.concatenate([m.ravel() for m, _ in images]))[::-1]:
        overlap = np.mean([np.mean(region >= threshold) for region in regions])
        curve.append((np.mean(normal >= threshold), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(curve):
        if x0 >= limit:
            break
        if x1 > limit:
            x1, y1 = limit, y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


def brute_ranking(images):
    labels = np.concatenate([mask.ravel() for _, mask in images])
    scores = np.concatenate([m.ravel() for m, _ in images])
    return {"pixel_auroc": roc_auc_score(labels, scores), "pixel_ap": average_precision_score(labels, scores)}


def brute(images):
    return {**brute_ranking(images), **{f"aupro_{limit}": brute_aupro(images, limit) for limit in (0.3, 0.05)}}


@pytest.mark.parametrize("decimals", [None, 1])
def test_all_metrics_agree_with_brute_force(decimals):
    images = make_images(7, 20, seed=1, decimals=decimals)
    assert streamed(images).compute() == pytest.approx(brute(images), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_all_metrics_agree_with_brute_force_on_any_small_maps(data):
    pixel = st.tuples(st.sampled_from([-2.5, -1.0, 0.0, 1.0, 3e4]), st.booleans())
    pixels = data.draw(st.lists(pixel, min_size=24, max_size=24).filter(lambda some: len({m for _, m in some}) == 2))
    maps = np.array([value for value, _ in pixels], dtype=np.float32).reshape(2, 3, 4)
    masks = np.array([mark for _, mark in pixels]).reshape(2, 3, 4)
    images = list(zip(maps, masks, strict=True))
    assert streamed(images).compute() == pytest.approx(brute(images), abs=1e-9)


@pytest.mark.parametrize("shift", [0, -7, 900])
def test_coarse_bins_stay_within_a_ten_thousandth(shift):
    images = [(m + np.float32(shift), mask) for m, mask in make_images(4, 64, seed=2)]
    assert len(np.unique([m for m, _ in images])) > 10_000
    state = streamed(images, max_bins=8192)
    assert state.compute() == pytest.approx(brute(images), abs=1e-4)
    assert state._pixels.level > 0


def test_more_distinct_values_than_the_default_bins_stay_within_a_ten_thousandth():
    rng = np.random.default_rng(3)
    maps = rng.normal(size=(5, 512, 512)).astype(np.float32)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[:, 100:200, 300:420] = True  # one region of one size each: its mean overlap is the true-positive rate
    maps[masks] += 1
    images = list(zip(maps, masks, strict=True))
    assert len(np.unique(maps)) > 2**20
    state = streamed(images)
    metrics = state.compute()
    assert state._pixels.level > 0
    assert {key: metrics[key] for key in KEYS[:2]} == pytest.approx(brute_ranking(images), abs=1e-4)
    for limit in (0.3, 0.05):
        normal, anomalous = np.sort(maps[~masks]), np.sort(maps[masks])
        fpr = np.linspace(0, limit, 20001)
        threshold = normal[np.minimum(np.round((1 - fpr) * len(normal)).astype(int), len(normal) - 1)]
        tpr = 1 - np.searchsorted(anomalous, threshold) / len(anomalous)
        assert metrics[f"aupro_{limit}"] == pytest.approx(tpr.mean(), abs=1e-4)


@pytest.mark.parametrize("max_bins", [256, 2**20])
def test_order_split_and_merge_tree_change_nothing_to_the_last_bit(max_bins, monkeypatch):
    monkeypatch.setattr("daad.metrics.pixels._PENDING_PIXELS", 700)
    images = make_images(9, 16, seed=4)
    named = [(m, mask, str(i)) for i, (m, mask) in enumerate(images)]

    def state(images):
        metrics = PixelMetrics(max_bins)
        for image in images:
            metrics.update(*image)
        return metrics

    at_once = state(named)
    chain, left, right = state([]), state(named[5:7]), state(reversed(named[:5]))
    for image in reversed(named):
        chain.merge(state([image]))
    right.compute()
    left.merge(state(named[7:]))
    right.merge(left)
    for other in (chain, right):
        assert other.compute() == at_once.compute()
        assert other.compute_intervals(resamples=20) == at_once.compute_intervals(resamples=20)


def test_merging_leaves_the_other_state_as_it_was():
    one, two = streamed(make_images(3, 12, seed=5)), streamed(make_images(6, 12, seed=6))
    before = two.compute()
    one.merge(two)
    assert two.compute() == before != one.compute()


def test_compute_can_be_asked_at_any_time():
    images = make_images(6, 12, seed=7)
    state = PixelMetrics()
    for i, image in enumerate(images):
        state.update(*image, str(i))
        state.compute()
    assert state.compute() == streamed(images).compute()


def test_memory_stays_bounded_however_much_comes(monkeypatch):
    monkeypatch.setattr("daad.metrics.pixels._GROUP_BINS", 2048)
    state = streamed(make_images(60, 40, seed=8), max_bins=512)
    state.compute()
    assert len(state._pixels.keys) <= 512 and len(state._groups.keys) <= 2048 and not state._pending


def test_a_constant_map_scores_as_chance():
    mask = np.zeros((10, 10), dtype=bool)
    mask[2:4, 2:4] = True
    metrics = streamed([(np.full((10, 10), -3.0), mask)]).compute()
    assert metrics == pytest.approx({"pixel_auroc": 0.5, "pixel_ap": 0.04, "aupro_0.3": 0.15, "aupro_0.05": 0.025})


def test_a_perfect_map_scores_one():
    mask = np.eye(9, dtype=np.uint8) * 255
    assert streamed([(mask - 300.0, mask)]).compute() == pytest.approx(dict.fromkeys(KEYS, 1.0))


def test_regions_count_alike_whatever_their_area_and_touch_across_corners():
    mask = np.zeros((20, 20), dtype=bool)
    mask[0:10, 0:10] = True
    mask[15, 15] = mask[16, 16] = True
    anomaly_map = np.zeros((20, 20))
    anomaly_map[15, 15] = anomaly_map[16, 16] = 1.0
    metrics = streamed([(anomaly_map, mask)]).compute()  # one of two regions complete before the first false positive
    assert metrics["aupro_0.05"] == pytest.approx(0.5 + 0.05 * 0.5 / 2)


@pytest.mark.parametrize("mark", [False, True])
def test_without_normal_or_anomalous_pixels_everything_is_nan(mark):
    state = streamed([(np.arange(12.0).reshape(3, 4), np.full((3, 4), mark))] * 3)
    assert list(state.compute()) == KEYS
    assert all(math.isnan(value) for value in state.compute().values())
    for interval in state.compute_intervals(resamples=5).values():
        assert all(math.isnan(bound) for bound in (interval.value, interval.low, interval.high))


def test_an_empty_state_is_nan():
    assert all(math.isnan(value) for value in PixelMetrics().compute().values())
    assert all(math.isnan(interval.low) for interval in PixelMetrics().compute_intervals(resamples=5).values())


@pytest.mark.parametrize(
    ("anomaly_map", "mask", "text"),
    [
        (np.zeros((3, 4)), np.zeros((4, 3), bool), r"\(3, 4\) and \(4, 3\)"),
        (np.zeros(4), np.zeros(4, bool), "one shape"),
        (np.array([[0.0, math.nan]]), np.zeros((1, 2), bool), "1 NaN"),
        (np.zeros((1, 2)), np.zeros((1, 2)), "bool or integer"),
    ],
)
def test_unusable_images_are_refused_and_leave_no_trace(anomaly_map, mask, text):
    images = make_images(3, 12, seed=9)
    with pytest.raises(ValueError, match=text):
        (state := streamed(images)).update(anomaly_map, mask)
    assert state.compute() == streamed(images).compute()


def test_states_of_unlike_bins_do_not_merge():
    with pytest.raises(ValueError, match="max_bins"):
        PixelMetrics(64).merge(PixelMetrics(128))


def brute_bootstrap(images, resamples, seed):
    """Draw images with all their pixels, within normal and anomalous ones, and measure again."""
    rng = np.random.default_rng(seed)
    kinds = [[i for i, (_, mask) in enumerate(images) if mask.any() == kind] for kind in (False, True)]
    rows = []
    for _ in range(resamples):
        chosen = [images[i] for kind in kinds for i in rng.choice(kind, len(kind))]
        labels = np.concatenate([mask.ravel() for _, mask in chosen])
        scores = np.concatenate([m.ravel() for m, _ in chosen])
        rows.append((roc_auc_score(labels, scores), average_precision_score(labels, scores)))
    return dict(zip(KEYS, np.quantile(rows, [0.025, 0.975], axis=0).T, strict=False))


@pytest.mark.parametrize(("count", "size"), [(45, 20), (1800, 6)])  # groups of one image, and of several
def test_intervals_are_those_of_resampling_images_with_all_their_pixels(count, size):
    images = make_images(count, size, seed=10, strength=1.5)
    state = streamed(images)
    intervals, values = state.compute_intervals(resamples=600), state.compute()
    for key, (low, high) in brute_bootstrap(images, 200, seed=11).items():
        interval = intervals[key]
        assert interval.value == values[key]
        assert interval.low == pytest.approx(low, abs=0.2 * (high - low))
        assert interval.high == pytest.approx(high, abs=0.2 * (high - low))


def test_aupro_intervals_are_those_of_resampling_images_with_all_their_pixels():
    images = make_images(18, 12, seed=12, strength=1.5, decimals=1)
    rng = np.random.default_rng(13)
    kinds = [[i for i, (_, mask) in enumerate(images) if mask.any() == kind] for kind in (False, True)]
    drawn = [brute_aupro([images[i] for kind in kinds for i in rng.choice(kind, len(kind))], 0.3) for _ in range(150)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    interval = streamed(images).compute_intervals(resamples=600)["aupro_0.3"]
    assert interval.low == pytest.approx(low, abs=0.2 * (high - low))
    assert interval.high == pytest.approx(high, abs=0.2 * (high - low))


def test_intervals_repeat_with_their_seed_and_widen_with_their_level():
    state = streamed(make_images(30, 16, seed=14))
    wide, narrow = state.compute_intervals(0.95, resamples=200), state.compute_intervals(0.5, resamples=200)
    assert wide == state.compute_intervals(0.95, resamples=200)
    assert wide != state.compute_intervals(0.95, resamples=200, seed=1)
    for key in KEYS:
        assert wide[key].low < narrow[key].low < narrow[key].high < wide[key].high
        assert wide[key].low >= 0 and wide[key].high <= 1 and narrow[key].level == 0.5


def test_without_names_images_are_grouped_by_their_content():
    state, backwards = PixelMetrics(), PixelMetrics()
    images = make_images(30, 16, seed=15)
    for forward, backward in zip(images, reversed(images), strict=True):
        state.update(*forward)
        backwards.update(*backward)
    intervals = state.compute_intervals(resamples=50)
    assert intervals == backwards.compute_intervals(resamples=50)
    assert all(interval.low < interval.value < interval.high for interval in intervals.values())


def test_a_single_anomalous_image_gives_values_but_no_bounds():
    images = make_images(3, 16, seed=16)
    intervals = streamed([images[0], images[2], images[0]]).compute_intervals(resamples=20)
    assert all(not math.isnan(metric.value) for metric in intervals.values())
    assert all(math.isnan(metric.low) and math.isnan(metric.high) for metric in intervals.values())


@pytest.mark.parametrize("wrong", [{"resamples": 0}, {"level": 1.5}])
def test_interval_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PixelMetrics().compute_intervals(**wrong)
