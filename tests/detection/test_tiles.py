"""Boxes in images cut into tiles: each thing is found once, wherever it lies, at any size of image."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daad import BoxDetector, ConfigError, DataError
from daad.data.boxes import read_boxes
from daad.data.tiles import Tiling, Window
from daad.detection.judging import MOST
from daad.detection.plan import BoxPlan
from daad.detection.tiles import SLACK, Owner, cut, drawn_windows, owned
from tests.detection.conftest import SIDE, TINY, Things, made, write_coco

TILED = {**{key: value for key, value in TINY.items() if key != "image_size"}, "tile": 96, "overlap": 1 / 3}
SHORT = {**TILED, "steps": 3}


def large(seed: int, rows: int, columns: int) -> tuple[np.ndarray[Any, Any], Things]:
    """Images of the fixture side by side as one, with all their things."""
    parts = {(r, c): made(seed * 1000 + 10 * r + c, 2) for r in range(rows) for c in range(columns)}
    image = np.vstack([np.hstack([parts[r, c][0] for c in range(columns)]) for r in range(rows)])
    things = [
        ([x + c * SIDE, y + r * SIDE, w, h], kind)
        for (r, c), (_, found) in parts.items()
        for (x, y, w, h), kind in found
    ]
    return image, things


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("photos")
    write_coco(place, "train", (large(seed, 3, 4) for seed in range(10)))
    return write_coco(place, "test", (large(seed, 3, 4) for seed in range(100, 104)))


@pytest.fixture(scope="module")
def tiled(photos: Path) -> BoxDetector:
    torch.set_num_threads(1)
    return BoxDetector.fit(photos, **TILED, steps=250, learning_rate=3e-3)


@pytest.mark.parametrize(
    ("length", "side", "overlap"), [(500, 96, 0.25), (97, 96, 0.5), (96, 96, 0.0), (1000, 64, 0.9)]
)
def test_every_place_is_answered_for_by_a_tile_that_sees_a_box_there_whole(
    length: int, side: int, overlap: float
) -> None:
    tiling = Tiling.of(side, overlap)
    starts, _ = tiling.grid(length, side)
    ends = owned(starts, side)
    largest = (1 - 2 * SLACK) * min((a + side - b for a, b in pairwise(starts)), default=side)
    for centre in np.arange(largest / 2, length - largest / 2, 0.5):
        mine = [start for start in starts if ends[start][0] <= centre <= ends[start][1]]
        assert mine
        assert all(start <= centre - largest / 2 and centre + largest / 2 <= start + side for start in mine)


def test_an_owner_has_the_boxes_whose_centre_it_holds() -> None:
    owner = Owner(10, -np.inf, 20, 5)
    boxes = np.array([[9, 0, 11, 2], [8, 0, 11, 2], [19, 4, 21, 6], [12, 4, 14, 8]], np.float64)
    assert owner.owns(boxes).tolist() == [True, False, True, False]


def test_drawn_tiles_lie_inside_and_each_box_is_whole_in_one() -> None:
    random = np.random.default_rng(0)
    sizes = [(300, 200), (100, 100), (500, 64)]
    boxes = []
    for height, width in sizes:
        corner = random.uniform(0, 1, (7, 2)) * [width - 30, height - 30]
        boxes.append(np.concatenate([corner, corner + random.uniform(2, 30, (7, 2))], axis=1))
    found = drawn_windows(sizes, boxes, Tiling.of(64), 0, 64 * 64)
    assert found == drawn_windows(sizes, boxes, Tiling.of(64), 0, 64 * 64)
    assert found != drawn_windows(sizes, boxes, Tiling.of(64), 1, 64 * 64)
    assert sum(map(len, found)) > 200
    for (height, width), own, windows in zip(sizes, boxes, found, strict=True):
        assert len(windows) == len(set(windows))
        assert all(0 <= w.top <= height - 64 and 0 <= w.left <= width - 64 for w in windows)
        for left, top, right, bottom in own:
            assert any(
                w.left <= left and w.top <= top and right <= w.left + 64 and bottom <= w.top + 64 for w in windows
            )


def test_drawn_tiles_are_no_more_than_memory_holds_and_empty_images_have_some() -> None:
    none = [np.empty((0, 4))] * 3
    assert all(drawn_windows([(200, 200)] * 3, none, Tiling.of(64), 0, 64 * 64))
    many = drawn_windows([(2000, 2000)] * 3, none, Tiling.of(64), 0, 2**26)
    assert sum(map(len, many)) == 16
    over = np.array([[10.0, 10, 190, 190]])  # larger than a tile
    (windows,) = drawn_windows([(200, 200)], [over], Tiling.of(64), 0, 64 * 64)
    assert any(w.top >= 10 and w.top + 64 <= 190 and w.left >= 10 and w.left + 64 <= 190 for w in windows)


def test_cut_boxes_are_clipped_and_belong_where_their_centre_lies() -> None:
    boxes = np.array([[10.0, 10, 30, 30], [0, 0, 12, 12], [60, 60, 70, 70]])
    found, labels = cut(boxes, np.array([4, 5, 6]), Window(top=8, left=5, height=40, width=20))
    assert found.tolist() == [[5.0, 2.0, 20.0, 22.0]] and labels.tolist() == [4]


def test_every_thing_of_a_large_image_is_found_once(tiled: BoxDetector, photos: Path) -> None:
    found = tiled.evaluate(photos)
    assert found.quality.ap50 > 0.9 and found.images == 4
    assert found.intervals["precision"].value > 0.8 and found.intervals["recall"].value > 0.8
    assert tiled.provenance["images"] == {"fit": 9, "held_out": 1, "unreadable": 0}
    assert tiled.provenance["tiles"] > 100 and tiled.confidence.images == 1
    assert found.notes == [] and tiled.provenance["notes"] == []


def test_a_wide_scene_gives_what_its_parts_give(tiled: BoxDetector) -> None:
    image, things = large(7, 3, 9)
    prediction = tiled.predict_one(image)
    assert prediction.size == (288, 864)
    boxes = np.array([each.box for each in prediction.detections])
    for (x, y, w, h), _ in things:
        near = np.abs(boxes - [x, y, x + w, y + h]).max(axis=1) < 8
        assert near.sum() == 1, (x, y, w, h)
    scores = [each.score for each in prediction.detections]
    assert scores == sorted(scores, reverse=True)


def test_more_than_a_hundred_things_are_found_and_counted(tiled: BoxDetector, tmp_path: Path) -> None:
    image, things = large(3, 8, 8)
    assert len(tiled.predict_one(image).detections) > 110
    write_coco(tmp_path, "test", [(image, things)])
    found = tiled.evaluate(tmp_path)
    assert found.quality.ap50 > 0.85 and found.intervals["recall"].value > 0.8
    assert any("128 boxes: the 256 surest" in note for note in found.notes)
    assert found.intervals["ap50"].value == pytest.approx(found.quality.ap50, abs=0.01)


def test_a_scene_is_read_by_windows(tiled: BoxDetector, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    image, _ = large(5, 6, 6)
    with rasterio.open(
        tmp_path / "scene.tif", "w", driver="GTiff", height=576, width=576, count=1, dtype="uint8", tiled=True,
        blockxsize=128, blockysize=128, BIGTIFF="YES",
    ) as file:  # fmt: skip
        file.write(image[..., 0], 1)
    by_windows, whole = tiled.predict_one(tmp_path / "scene.tif"), tiled.predict_one(image)
    assert by_windows.detections == whole.detections and len(whole.detections) > 50


def test_what_has_no_data_has_no_boxes(tiled: BoxDetector) -> None:
    image, things = large(6, 3, 3)
    floats = image[..., 0].astype(np.float32) / 255
    floats[:, 144:] = np.nan
    found = tiled.predict_one(floats)
    assert found.detections and all(each.box[0] < 150 for each in found.detections)
    assert sum(box[0] + box[2] < 120 for box, _ in things) <= len(found.detections) <= len(things)


def test_the_same_seed_gives_the_same_bits_and_nothing_changes_on_disk(photos: Path, tmp_path: Path) -> None:
    first = BoxDetector.fit(photos, **SHORT)
    again = BoxDetector.fit(photos, **SHORT, run=tmp_path / "run", checkpoint_every=2)
    resumed = BoxDetector.fit(photos, **SHORT, run=tmp_path / "run", resume=True, checkpoint_every=2)
    for other in (again, resumed, BoxDetector.load(first.save(tmp_path / "tiles.zip"))):
        assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), other.model.parameters(), strict=True))
        assert other.preprocess == first.preprocess and other.confidence == first.confidence
        assert other.provenance["data_fingerprint"] == first.provenance["data_fingerprint"]
    assert first.preprocess.tiles == Tiling.of(96, 1 / 3)


def test_images_that_were_learnt_from_are_told(tiled: BoxDetector, photos: Path) -> None:
    seen = tiled.evaluate(read_boxes(photos, split="train"))
    assert any("10 of these images were learnt from" in note for note in seen.notes)


def test_small_and_damaged_images_cost_themselves_alone(tiled: BoxDetector, tmp_path: Path) -> None:
    images = [large(seed, 3, 4) for seed in range(10)]
    images[0] = images[0][0][:50], []
    write_coco(tmp_path, "train", images)
    damaged = tmp_path / "images" / "train001.png"
    damaged.write_bytes(damaged.read_bytes()[:3000])
    detector = BoxDetector.fit(tmp_path, **SHORT)
    left_out = {failure["name"]: failure["reason"] for failure in detector.provenance["left_out"]}
    assert set(left_out) == {"train000.png", "train001.png"} and "less than a tile" in left_out["train000.png"]
    errors = [each.error for each in tiled.predict(tmp_path / "images") if each.error]
    assert len(errors) == 2 and "less than a tile of 96x96" in errors[0]


def test_boxes_larger_than_the_overlap_are_told(photos: Path) -> None:
    detector = BoxDetector.fit(photos, **{**SHORT, "overlap": 0.1})
    (note,) = detector.provenance["notes"]
    assert "larger than the 10x10 pixels that tiles share" in note


def test_the_overlap_follows_from_the_boxes(photos: Path) -> None:
    free = {key: value for key, value in SHORT.items() if key != "overlap"}
    tiles = BoxDetector.fit(photos, **free).preprocess.tiles
    assert tiles is not None and 20 / 96 < tiles.overlap < 29 / 96
    boxes = np.array([[0.0, 0, 10, 40]] * 10 + [[0.0, 0, 90, 90]])
    plan = BoxPlan(tile=100)
    assert [getattr(plan.tiling(part), "overlap", None) for part in (boxes, boxes[-1:], boxes[:0])] == [0.4, 0.5, 0.25]
    assert BoxPlan(tile=100, overlap=0.0).tiling(boxes) == Tiling.of(100, 0.0)


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"tile": 32}, ConfigError, "height"),
        ({"tile": 5000}, ConfigError, "4096"),
        ({"overlap": 1.0}, ConfigError, "overlap"),
        ({"tile": 640}, DataError, "less than a tile"),
    ],
)
def test_tiles_that_make_no_sense_are_refused(
    photos: Path, settings: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        BoxDetector.fit(photos, **{**SHORT, **settings})


def test_no_more_boxes_are_held_than_the_limit(tiled: BoxDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    image, _ = large(5, 3, 3)
    everything = tiled.predict_one(image, min_score=0.01).detections
    monkeypatch.setattr("daad.detection.judging.MOST", 20)
    assert MOST == 10_000
    few = tiled.predict_one(image, min_score=0.01).detections
    assert 0 < len(few) <= 20 < len(everything) and few == everything[: len(few)]
