"""The ranking of tiles is stable, drops none for a tie, and has no object twice."""

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
from daad.search.candidates import Candidate, as_csv, as_geojson, deviations, rank_candidates, top_tiles
from daad.search.canvas import add_map_rows, add_pixels


def candidate(score: float, scene: str = "a", column: int = 0, **more: Any) -> Candidate:
    tile = {"row": 0, "column": column, "left": 0, "top": 0, "right": 8, "bottom": 8, "peak_x": 1, "peak_y": 1}
    return Candidate(rank=0, scene=scene, score=score, p_value=0.5, deviations=-score, **tile, **more)


def centres(tops: list[int], lefts: list[int]) -> Any:
    """Peaks in the middle of tiles of 16 pixels."""
    return np.stack(np.broadcast_arrays(np.array(lefts) + 8, (np.array(tops) + 8)[:, None]), axis=-1)


def test_tiles_are_taken_by_score_and_ties_row_by_row() -> None:
    tiling = Tiling.of(16, 0)
    tops, lefts = tiling.grid(48, 64)
    key = np.array([[1, 5, 5, 0], [5, np.nan, 9, 1], [5, 1, 1, 1.0]])
    tiles = top_tiles(key, centres(tops, lefts), tops, lefts, tiling, 5)
    assert tiles == [(1, 2), (0, 1), (0, 2), (1, 0), (2, 0)]
    all_tiles = top_tiles(key, centres(tops, lefts), tops, lefts, tiling, 100)
    assert len(all_tiles) == 11 and (1, 1) not in all_tiles  # a tile that was not judged is never ranked


def test_one_object_in_overlapping_tiles_is_one_candidate() -> None:
    tiling = Tiling.of(16, 0.5)
    tops, lefts = tiling.grid(16, 48)
    peaks = centres(tops, lefts)
    peaks[0, 1] = peaks[0, 2] = (20, 8)  # both show the object at x = 20
    key = np.array([[1.0, 8, 9, 2, 3]])
    assert top_tiles(key, peaks, tops, lefts, tiling, 10) == [(0, 2), (0, 4), (0, 0)]


def test_scenes_are_ranked_together_by_raw_score_or_by_deviations() -> None:
    scenes = [[candidate(3.0), candidate(2.0, column=1)], [candidate(3.0, "b"), candidate(5.0, "b", 1)]]
    by_score = rank_candidates(scenes, 3, per_scene=False)
    assert [(c.rank, c.scene, c.score) for c in by_score] == [(1, "b", 5), (2, "a", 3), (3, "b", 3)]
    assert [c.score for c in rank_candidates(scenes, 4, per_scene=True)] == [2, 3, 3, 5]


def test_deviations_are_robust_and_keep_nan() -> None:
    scores = np.append(np.random.default_rng(0).normal(10, 2, 20_000), [np.nan, 1000])
    result = deviations(scores)
    assert np.isnan(result[-2]) and result[-1] == pytest.approx((1000 - 10) / 2, rel=0.03)
    assert np.nanstd(result[:-1]) == pytest.approx(1, abs=0.03)
    assert (deviations(np.ones(5)) == 0).all() and np.isnan(deviations(np.full(3, np.nan))).all()


def test_the_csv_has_every_candidate_and_the_geojson_those_with_coordinates() -> None:
    ring = ((10.0, 50.0), (10.1, 50.0), (10.1, 49.9), (10.0, 49.9))
    both = [candidate(2.0), candidate(1.0, longitude=10.05, latitude=49.95, corners=ring)]
    rows = list(csv.DictReader(io.StringIO(as_csv(both))))
    assert [row["score"] for row in rows] == ["2.0", "1.0"] and rows[0]["longitude"] == ""
    assert as_geojson(both[:1]) is None
    collection = json.loads(as_geojson(both) or "")
    assert [feature["properties"]["score"] for feature in collection["features"]] == [1.0]
    (outline,) = collection["features"][0]["geometry"]["coordinates"]
    assert outline[0] == outline[-1] and len(outline) == 5
    area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(outline)) / 2
    assert area > 0  # counter-clockwise


def test_the_overview_has_the_highest_value_of_each_square_however_rows_come() -> None:
    rng = np.random.default_rng(0)
    full_map = rng.random((37, 50)).astype(np.float32)
    full_map[:8, :8] = np.nan
    for cuts in ([0, 37], [0, 5, 6, 20, 37]):
        overview = np.full((10, 13), np.nan, np.float32)
        for top, bottom in pairwise(cuts):
            add_map_rows(overview, full_map[top:bottom], top, 4)
        padded = np.full((40, 52), np.nan, np.float32)
        padded[:37, :50] = full_map
        squares = padded.reshape(10, 4, 13, 4).transpose(0, 2, 1, 3).reshape(10, 13, 16)
        expected = np.where(np.isnan(squares).all(axis=2), np.nan, np.nanmax(np.nan_to_num(squares, nan=-1), axis=2))
        np.testing.assert_array_equal(overview, expected.astype(np.float32))


def test_the_thumbnail_is_every_nth_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 5), dtype=np.uint8)
    thumbnail = np.zeros((8, 11, 3), np.uint8)
    for top in (0, 7, 15, 22):
        for left in (0, 13, 26):
            add_pixels(thumbnail, Patch(pixels[top : top + 8, left : left + 15], None), top, left, 4)
    np.testing.assert_array_equal(thumbnail, pixels[::4, ::4, :3])
