"""The ranking of tiles is stable, drops none for a tie, and shows nothing twice."""

from __future__ import annotations

import csv
import io
import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from daad.data.patches import Patch
from daad.data.tiles import Tiling
from daad.search.candidates import Candidate, as_csv, as_geojson, deviations, pooled, strangest
from daad.search.canvas import lay_map, lay_pixels


def candidate(score: float, scene: str = "a", column: int = 0, **more: Any) -> Candidate:
    place = {"row": 0, "column": column, "left": 0, "top": 0, "right": 8, "bottom": 8, "peak_x": 1, "peak_y": 1}
    return Candidate(rank=0, scene=scene, score=score, p_value=0.5, deviations=-score, **place, **more)


def centres(tops: list[int], lefts: list[int]) -> Any:
    """Peaks in the middle of tiles of 16."""
    return np.stack(np.broadcast_arrays(np.array(lefts) + 8, (np.array(tops) + 8)[:, None]), axis=-1)


def test_tiles_are_taken_by_score_and_ties_row_by_row() -> None:
    tiling = Tiling.of(16, 0)
    tops, lefts = tiling.grid(48, 64)
    key = np.array([[1, 5, 5, 0], [5, np.nan, 9, 1], [5, 1, 1, 1.0]])
    found = strangest(key, centres(tops, lefts), tops, lefts, tiling, 5)
    assert found == [(1, 2), (0, 1), (0, 2), (1, 0), (2, 0)]
    every = strangest(key, centres(tops, lefts), tops, lefts, tiling, 100)
    assert len(every) == 11 and (1, 1) not in every  # what was not judged is never ranked


def test_one_thing_seen_by_overlapping_tiles_is_shown_once() -> None:
    tiling = Tiling.of(16, 0.5)
    tops, lefts = tiling.grid(16, 48)
    peaks = centres(tops, lefts)
    peaks[0, 1] = peaks[0, 2] = (20, 8)  # both show what lies at x = 20
    key = np.array([[1.0, 8, 9, 2, 3]])
    assert strangest(key, peaks, tops, lefts, tiling, 10) == [(0, 2), (0, 4), (0, 0)]


def test_scenes_are_pooled_by_raw_score_or_by_their_own_spread() -> None:
    scenes = [[candidate(3.0), candidate(2.0, column=1)], [candidate(3.0, "b"), candidate(5.0, "b", 1)]]
    by_score = pooled(scenes, 3, per_scene=False)
    assert [(c.rank, c.scene, c.score) for c in by_score] == [(1, "b", 5), (2, "a", 3), (3, "b", 3)]
    assert [c.score for c in pooled(scenes, 4, per_scene=True)] == [2, 3, 3, 5]


def test_deviations_are_robust_and_keep_what_was_not_judged() -> None:
    scores = np.append(np.random.default_rng(0).normal(10, 2, 20_000), [np.nan, 1000])
    found = deviations(scores)
    assert np.isnan(found[-2]) and found[-1] == pytest.approx((1000 - 10) / 2, rel=0.03)
    assert np.nanstd(found[:-1]) == pytest.approx(1, abs=0.03)
    assert (deviations(np.ones(5)) == 0).all() and np.isnan(deviations(np.full(3, np.nan))).all()


def test_tables_hold_every_candidate_and_earth_only_those_that_lie_on_it() -> None:
    ring = ((10.0, 50.0), (10.1, 50.0), (10.1, 49.9), (10.0, 49.9))
    both = [candidate(2.0), candidate(1.0, longitude=10.05, latitude=49.95, corners=ring)]
    rows = list(csv.DictReader(io.StringIO(as_csv(both))))
    assert [row["score"] for row in rows] == ["2.0", "1.0"] and rows[0]["longitude"] == ""
    assert as_geojson(both[:1]) is None
    found = json.loads(as_geojson(both) or "")
    assert [feature["properties"]["score"] for feature in found["features"]] == [1.0]
    (outline,) = found["features"][0]["geometry"]["coordinates"]
    assert outline[0] == outline[-1] and len(outline) == 5
    area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(outline)) / 2
    assert area > 0  # counter-clockwise


def test_the_small_map_holds_the_highest_value_of_each_square_however_rows_come() -> None:
    rng = np.random.default_rng(0)
    whole = rng.random((37, 50)).astype(np.float32)
    whole[:8, :8] = np.nan
    for cuts in ([0, 37], [0, 5, 6, 20, 37]):
        canvas = np.full((10, 13), np.nan, np.float32)
        for top, bottom in pairwise(cuts):
            lay_map(canvas, whole[top:bottom], top, 4)
        padded = np.full((40, 52), np.nan, np.float32)
        padded[:37, :50] = whole
        squares = padded.reshape(10, 4, 13, 4).transpose(0, 2, 1, 3).reshape(10, 13, 16)
        expected = np.where(np.isnan(squares).all(axis=2), np.nan, np.nanmax(np.nan_to_num(squares, nan=-1), axis=2))
        np.testing.assert_array_equal(canvas, expected.astype(np.float32))


def test_the_thumbnail_is_every_nth_pixel() -> None:
    whole = np.random.default_rng(0).integers(0, 256, (30, 41, 5), dtype=np.uint8)
    thumbnail = np.zeros((8, 11, 3), np.uint8)
    for top in (0, 7, 15, 22):
        for left in (0, 13, 26):
            lay_pixels(thumbnail, Patch(whole[top : top + 8, left : left + 15], None), top, left, 4)
    np.testing.assert_array_equal(thumbnail, whole[::4, ::4, :3])
