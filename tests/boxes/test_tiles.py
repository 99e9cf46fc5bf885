"""Boxes in images cut into tiles: each object is detected once, wherever it lies, at any size of image."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from daad import BoxDetector, ConfigError, DataError
from daad.boxes.options import BoxPlan
from daad.boxes.predicting import MOST_BOXES
from daad.boxes.tiles import TileShare, centre_in_any, crop_boxes, sample_windows, tile_shares
from daad.data.box_set import read_boxes
from daad.data.tiles import Tiling, Window
from tests.boxes.conftest import SIDE, TINY, Objects, made, write_coco

TILED = {**{key: value for key, value in TINY.items() if key != "image_size"}, "tile": 96, "overlap": 1 / 3}
SHORT = {**TILED, "steps": 3}


def large(seed: int, rows: int, columns: int) -> tuple[np.ndarray[Any, Any], Objects]:
    """Images of the fixture side by side as one, with all their objects."""
    images = {(r, c): made(seed * 1000 + 10 * r + c, 2) for r in range(rows) for c in range(columns)}
    image = np.vstack([np.hstack([images[r, c][0] for c in range(columns)]) for r in range(rows)])
    objects = [
        ([x + c * SIDE, y + r * SIDE, w, h], kind)
        for (r, c), (_, of_image) in images.items()
        for (x, y, w, h), kind in of_image
    ]
    return image, objects


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_coco(folder, "train", (large(seed, 3, 4) for seed in range(10)))
    return write_coco(folder, "test", (large(seed, 3, 4) for seed in range(100, 104)))


@pytest.fixture(scope="module")
def tiled(photos: Path) -> BoxDetector:
    torch.set_num_threads(1)
    return BoxDetector.fit(photos, **TILED, steps=250, learning_rate=3e-3)


@pytest.mark.parametrize(
    ("length", "side", "overlap"), [(500, 96, 0.25), (97, 96, 0.5), (96, 96, 0.0), (1000, 64, 0.9)]
)
def test_a_box_no_larger_than_the_overlap_lies_completely_in_the_tile_responsible_for_it(
    length: int, side: int, overlap: float
) -> None:
    tiling = Tiling.of(side, overlap)
    starts, _ = tiling.grid(length, side)
    shares = tile_shares(starts, side)
    largest = min((a + side - b for a, b in pairwise(starts)), default=side)
    for size in (largest, largest / 3):
        low = np.arange(0, length - size, 0.5)
        responsible = np.array([share.responsible_for(low, low + size) for share in shares.values()])
        assert responsible.any(axis=0).all()
        complete = np.array([(low >= start) & (low + size <= start + side) for start in starts])
        assert (complete | ~responsible).all()


def test_a_tile_is_responsible_for_its_share_and_for_complete_boxes_slightly_beyond() -> None:
    share = TileShare(0, 100, (-np.inf, 80.0), (0.0, 10.0))
    low, high = np.array([60.0, 82, 75, 84, 0]), np.array([100.0, 96, 105, 101, 3])
    assert share.responsible_for(low, high).tolist() == [True, True, False, False, True]


def test_sampled_tiles_lie_inside_the_image_and_each_box_is_complete_in_one() -> None:
    random = np.random.default_rng(0)
    sizes = [(300, 200), (100, 100), (500, 64)]
    boxes = []
    for height, width in sizes:
        corner = random.uniform(0, 1, (7, 2)) * [width - 30, height - 30]
        boxes.append(np.concatenate([corner, corner + random.uniform(2, 30, (7, 2))], axis=1))
    sampled = sample_windows(sizes, boxes, Tiling.of(64), 0, 64 * 64)
    assert sampled == sample_windows(sizes, boxes, Tiling.of(64), 0, 64 * 64)
    assert sampled != sample_windows(sizes, boxes, Tiling.of(64), 1, 64 * 64)
    assert sum(map(len, sampled)) > 200
    for (height, width), image_boxes, windows in zip(sizes, boxes, sampled, strict=True):
        assert len(windows) == len(set(windows))
        assert all(0 <= w.top <= height - 64 and 0 <= w.left <= width - 64 for w in windows)
        for left, top, right, bottom in image_boxes:
            assert any(
                w.left <= left and w.top <= top and right <= w.left + 64 and bottom <= w.top + 64 for w in windows
            )


def test_sampled_tiles_fit_into_memory_and_images_without_boxes_have_some() -> None:
    none = [np.empty((0, 4))] * 3
    assert all(sample_windows([(200, 200)] * 3, none, Tiling.of(64), 0, 64 * 64))
    some = [np.tile(np.array([[100.0, 100, 120, 120]]), (30, 1))] * 3
    many = sample_windows([(2000, 2000)] * 3, some, Tiling.of(64), 0, 2**26)
    assert sum(map(len, many)) == 16
    larger = np.array([[10.0, 10, 190, 190]])  # than a tile
    (windows,) = sample_windows([(200, 200)], [larger], Tiling.of(64), 0, 64 * 64)
    assert any(w.top >= 10 and w.top + 64 <= 190 and w.left >= 10 and w.left + 64 <= 190 for w in windows)


def test_tiles_around_boxes_are_kept_first_and_each_box_once_before_any_twice() -> None:
    sizes = [(300, 300)] * 1005
    boxes = [np.array([[100.0, 100, 120, 120]])] * 5 + [np.empty((0, 4))] * 1000
    sampled = sample_windows(sizes, boxes, Tiling.of(64), 0, 64 * 64)
    assert sum(map(len, sampled[:5])) >= 75 and sum(map(len, sampled)) < 1200
    crowded = [np.tile(np.array([[100.0, 100, 120, 120]]), (2, 1))] * 50 + [np.empty((0, 4))] * 2000
    few = sample_windows([(300, 300)] * 2050, crowded, Tiling.of(64), 0, 2**22)  # room for 256
    assert sum(map(len, few)) <= 256 and all(few[:50])
    no_others = sample_windows([(300, 300)] * 50, crowded[:50], Tiling.of(64), 0, 2**24)  # room for 64
    assert 50 <= sum(len(windows) for windows in no_others) <= 64


def test_pieces_of_a_box_longer_than_a_tile_are_boxes() -> None:
    long = np.array([[10.0, 30, 400, 40]])
    for left, belongs in ((0, True), (100, True), (336, True), (379, False)):
        boxes, labels = crop_boxes(long, np.array([0]), Window(0, left, 64, 64))
        assert (labels.tolist() == [0]) == belongs, left
        assert not belongs or boxes.tolist() == [[max(10.0 - left, 0), 30.0, min(400.0 - left, 64), 40.0]]
    assert centre_in_any(long, [Window(0, 0, 64, 64)]).tolist() == [False]
    assert centre_in_any(long, [Window(0, 0, 64, 64), Window(0, 180, 64, 64)]).tolist() == [True]


def test_cropped_boxes_are_clipped_and_belong_to_the_tile_of_their_centre() -> None:
    boxes = np.array([[10.0, 10, 30, 30], [0, 0, 12, 12], [60, 60, 70, 70]])
    cropped, labels = crop_boxes(boxes, np.array([4, 5, 6]), Window(top=8, left=5, height=40, width=20))
    assert cropped.tolist() == [[5.0, 2.0, 20.0, 22.0]] and labels.tolist() == [4]


def test_every_object_of_a_large_image_is_detected_once(tiled: BoxDetector, photos: Path) -> None:
    evaluation = tiled.evaluate(photos)
    assert evaluation.quality.ap50 > 0.9 and evaluation.images == 4
    assert evaluation.intervals["precision"].value > 0.8 and evaluation.intervals["recall"].value > 0.8
    assert tiled.provenance["images"] == {"fit": 9, "held_out": 1, "unreadable": 0}
    assert tiled.provenance["tiles"] > 100 and tiled.confidence.images == 1
    assert evaluation.notes == [] and tiled.provenance["notes"] == []


def test_objects_of_a_wide_scene_are_detected_once(tiled: BoxDetector) -> None:
    image, objects = large(7, 3, 9)
    prediction = tiled.predict_one(image)
    assert prediction.size == (288, 864)
    boxes = np.array([detection.box for detection in prediction.detections])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    near = [np.abs(centres - [x + w / 2, y + h / 2]).max(axis=1) < 6 for (x, y, w, h), _ in objects]
    counts = [int(mask.sum()) for mask in near]
    assert max(counts) == 1 and np.mean(counts) > 0.9
    scores = [detection.score for detection in prediction.detections]
    assert scores == sorted(scores, reverse=True)


def test_more_than_a_hundred_objects_are_detected_and_counted(tiled: BoxDetector, tmp_path: Path) -> None:
    image, objects = large(3, 8, 8)
    assert len(tiled.predict_one(image).detections) > 110
    write_coco(tmp_path, "test", [(image, objects)])
    evaluation = tiled.evaluate(tmp_path)
    assert evaluation.quality.ap50 > 0.85 and evaluation.intervals["recall"].value > 0.8
    assert any("the 256 surest boxes count" in note for note in evaluation.notes)
    assert evaluation.intervals["ap50"].value == pytest.approx(evaluation.quality.ap50, abs=0.01)


def test_a_scene_is_read_by_windows(tiled: BoxDetector, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    image, _ = large(5, 6, 6)
    with rasterio.open(
        tmp_path / "scene.tif", "w", driver="GTiff", height=576, width=576, count=1, dtype="uint8", tiled=True,
        blockxsize=128, blockysize=128, BIGTIFF="YES",
    ) as file:  # fmt: skip
        file.write(image[..., 0], 1)
    by_windows, from_array = tiled.predict_one(tmp_path / "scene.tif"), tiled.predict_one(image)
    assert by_windows.detections == from_array.detections and len(from_array.detections) > 50


def test_pixels_without_data_have_no_boxes(tiled: BoxDetector) -> None:
    image, objects = large(6, 3, 3)
    floats = image[..., 0].astype(np.float32) / 255
    floats[:, 144:] = np.nan
    detections = tiled.predict_one(floats).detections
    assert detections and all(detection.box[0] < 150 for detection in detections)
    assert sum(box[0] + box[2] < 120 for box, _ in objects) <= len(detections) <= len(objects)


def test_an_image_with_hardly_any_data_is_not_judged(tiled: BoxDetector) -> None:
    (prediction,) = tiled.predict([np.full((288, 288), np.nan, np.float32)])
    assert prediction.error is not None and "hardly any of it is data" in prediction.error


def test_tiles_with_gaps_are_learnt_and_lost_boxes_are_reported(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    images = [large(seed, 3, 4) for seed in range(6)]
    write_coco(tmp_path, "train", images)
    for number, (image, _) in enumerate(images):
        opaque = np.full((*image.shape[:2], 1), 255, np.uint8)
        opaque[:, 150:] = 0
        rgba = np.concatenate([image.repeat(3, axis=2), opaque], axis=2)
        Image.fromarray(rgba).save(tmp_path / "images" / f"train{number:03d}.png")
    detector = BoxDetector.fit(tmp_path, **SHORT)
    (note,) = detector.provenance["notes"]
    assert "lie in none of the" in note and detector.provenance["left_out"] == []
    assert sum(detector.provenance["boxes"].values()) > 5 * 6


def test_precision_is_of_all_boxes_that_are_shown(tiled: BoxDetector, photos: Path) -> None:
    loose = BoxDetector(
        tiled.model,
        tiled.preprocess,
        tiled.confidence.model_copy(update={"threshold": 0.01}),
        tiled.reference,
        tiled.provenance,
    )
    evaluation = loose.evaluate(photos)
    shown = sum(len(prediction.detections) for prediction in loose.predict(photos / "images", min_score=0.01))
    per_image = [len(boxes.scores) for boxes in evaluation.found]
    assert max(per_image) > 100 and evaluation.intervals["precision"].value < 0.3 and shown > sum(per_image)
    assert any("surest boxes count" in note for note in evaluation.notes)


def test_the_same_seed_gives_the_same_bits_and_nothing_changes_on_disk(photos: Path, tmp_path: Path) -> None:
    first = BoxDetector.fit(photos, **SHORT)
    again = BoxDetector.fit(photos, **SHORT, run=tmp_path / "run", checkpoint_every=2)
    resumed = BoxDetector.fit(photos, **SHORT, run=tmp_path / "run", resume=True, checkpoint_every=2)
    for other in (again, resumed, BoxDetector.load(first.save(tmp_path / "tiles.zip"))):
        assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), other.model.parameters(), strict=True))
        assert other.preprocess == first.preprocess and other.confidence == first.confidence
        assert other.provenance["data_fingerprint"] == first.provenance["data_fingerprint"]
    assert first.preprocess.tiles == Tiling.of(96, 1 / 3)


def test_images_that_were_learnt_from_are_reported(tiled: BoxDetector, photos: Path) -> None:
    evaluation = tiled.evaluate(read_boxes(photos, split="train"))
    assert any("10 of these images were learnt from" in note for note in evaluation.notes)


def test_small_and_damaged_images_are_left_out_and_the_others_are_used(tiled: BoxDetector, tmp_path: Path) -> None:
    images = [large(seed, 3, 4) for seed in range(10)]
    images[0] = images[0][0][:50], []
    write_coco(tmp_path, "train", images)
    damaged = tmp_path / "images" / "train001.png"
    damaged.write_bytes(damaged.read_bytes()[:3000])
    detector = BoxDetector.fit(tmp_path, **SHORT)
    left_out = {failure["name"]: failure["reason"] for failure in detector.provenance["left_out"]}
    assert set(left_out) == {"train000.png", "train001.png"} and "less than a tile" in left_out["train000.png"]
    errors = [prediction.error for prediction in tiled.predict(tmp_path / "images") if prediction.error]
    assert len(errors) == 2 and "less than a tile of 96x96" in errors[0]


def test_boxes_larger_than_the_overlap_are_reported(photos: Path) -> None:
    detector = BoxDetector.fit(photos, **{**SHORT, "overlap": 0.1})
    (note,) = detector.provenance["notes"]
    assert "larger than the 10x10 pixels that tiles share" in note
    notes = BoxDetector.fit(photos, **{**SHORT, "tile": 24, "image_size": 64}).provenance["notes"]
    assert any("larger than a tile" in note for note in notes)


def test_the_default_overlap_follows_from_the_boxes(photos: Path) -> None:
    default = {key: value for key, value in SHORT.items() if key != "overlap"}
    tiles = BoxDetector.fit(photos, **default).preprocess.tiles
    assert tiles is not None and 0.25 <= tiles.overlap < 0.32
    boxes = np.array([[0.0, 0, 10, 40]] * 10 + [[0.0, 0, 90, 90]])
    plan = BoxPlan(tile=100)
    assert [getattr(plan.tiling(some), "overlap", None) for some in (boxes, boxes[-1:], boxes[:0])] == [0.41, 0.5, 0.25]
    assert BoxPlan(tile=100, overlap=0.0).tiling(boxes) == Tiling.of(100, 0.0)


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"tile": 32}, ConfigError, "image_size of 64"),
        ({"tile": None}, ConfigError, "give tile too"),
        ({"tile": 5000}, ConfigError, "4096"),
        ({"overlap": 1.0}, ConfigError, "overlap"),
        ({"tile": 640}, DataError, "less than a tile"),
    ],
)
def test_invalid_tiles_are_refused(photos: Path, settings: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        BoxDetector.fit(photos, **{**SHORT, **settings})


def test_no_more_boxes_are_kept_than_the_limit(tiled: BoxDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    image, _ = large(5, 3, 3)
    unlimited = tiled.predict_one(image, min_score=0.01).detections
    monkeypatch.setattr("daad.boxes.predicting.MOST_BOXES", 20)
    assert MOST_BOXES == 10_000
    few = tiled.predict_one(image, min_score=0.01).detections
    assert 0 < len(few) <= 20 < len(unlimited) and few == unlimited[: len(few)]
