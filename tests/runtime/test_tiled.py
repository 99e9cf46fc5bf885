"""A detector of tiles judges images at full resolution, and means what it says of its false alarms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import daad
from daad import ConfigError, DataError, Detector, ImageError
from daad.data.preprocess import to_float
from daad.data.sample import Sample
from daad.data.tiles import Tiling
from daad.detector import selection
from daad.runtime import tiled
from daad.runtime.tiled import score_by_tiles
from tests.images import save_png, striped

QUICK: dict[str, Any] = {"model": "ae", "image_size": 32, "size": "nano", "steps": 40, "batch_size": 8}


def grained(count: int, height: int, width: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Good images: fine vertical stripes, soft noise."""
    rng = np.random.default_rng(seed)
    waves = 120 + 60 * np.sin(np.arange(width) * 2 * np.pi / 8)
    return np.clip(waves + rng.normal(0, 6, (count, height, width)), 0, 255).astype(np.uint8)[..., None]


@pytest.fixture(scope="module")
def detector() -> Detector:
    torch.set_num_threads(1)
    return Detector.fit(grained(12, 96, 128), tile=32, **{**QUICK, "steps": 150})


def test_it_learns_tiles_and_is_calibrated_on_whole_images(detector: Detector) -> None:
    assert detector.preprocess.tiles == Tiling.of(32) and detector.preprocess.height == 32
    assert detector.calibration.unit == "image" and len(detector.calibration.scores) == 2
    assert detector.provenance["images"] == {"fit": 10, "calibration": 2, "unreadable": 0}
    assert detector.provenance["tiles"]["fit"] > 120


def test_a_small_defect_in_a_large_image_is_found_where_it_is(detector: Detector) -> None:
    large = grained(1, 600, 900, seed=5)[0]
    assert detector.predict_one(large).score < 3 * detector.calibration.threshold
    large[400:412, 610:622] = 255
    found = detector.predict_one(large)
    assert found.is_anomalous and found.anomaly_map is not None and found.anomaly_map.shape == (600, 900)
    left, top, right, bottom = found.regions[0].box
    assert left <= 616 < right and top <= 406 < bottom and right - left < 60
    assert found.reconstruction is None


def test_twenty_pixels_of_twelve_million_are_found() -> None:
    found = Detector.fit(grained(12, 256, 256), tile=64, **{**QUICK, "steps": 150})
    photo = grained(1, 3000, 4000, seed=5)[0]
    photo[1700:1720, 2500:2520] = 230
    prediction = found.predict_one(photo)
    left, top, right, bottom = prediction.regions[0].box
    assert prediction.is_anomalous and left <= 2510 < right and top <= 1710 < bottom and right - left < 130


def test_the_score_is_the_highest_of_the_tiles_and_the_map_lies_between_theirs(detector: Detector) -> None:
    image = grained(1, 70, 90, seed=3)[0]
    tops, lefts = Tiling.of(32).grid(70, 90)
    crops = np.stack([image[top : top + 32, left : left + 32] for top in tops for left in lefts])
    with torch.inference_mode():
        output = detector.model(torch.from_numpy(to_float(crops)).contiguous(memory_format=torch.channels_last))
    found = detector.predict_one(image)
    assert found.score == pytest.approx(float(output.score.max()), rel=1e-4)
    assert found.anomaly_map is not None
    assert found.anomaly_map.max() <= float(output.anomaly_map.max()) * 1.0001
    corner = output.anomaly_map[0, :20, :20].numpy()  # no other tile reaches there
    np.testing.assert_allclose(found.anomaly_map[:20, :20], corner, rtol=1e-3, atol=1e-6)


def test_few_images_are_calibrated_by_tiles_and_blocks_are_held_out() -> None:
    found = Detector.fit([grained(1, 300, 300)[0]], tile=32, **QUICK)
    assert found.calibration.unit == "tile"
    tiles = found.provenance["tiles"]
    assert found.provenance["images"] == {"fit": 1, "calibration": 1, "unreadable": 0}
    assert tiles["calibration"] == len(found.calibration.scores) and 0.05 < tiles["calibration"] / tiles["fit"] < 0.6
    assert "held-out normal" not in (found.calibration.note or "")


def test_images_of_one_group_stay_on_one_side_among_tiles_too() -> None:
    samples = [Sample(image, f"{i}", group="ab"[i % 2]) for i, image in enumerate(grained(4, 64, 64))]
    found = Detector.fit(samples, tile=32, **QUICK)
    assert len(found.calibration.scores) * 2 == sum(found.provenance["tiles"].values())


def test_an_image_too_large_to_be_judged_whole_is_calibrated_by_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "MAX_PIXELS", 96 * 96 - 1)
    assert Detector.fit(grained(6, 96, 96), tile=32, **QUICK).calibration.unit == "tile"
    monkeypatch.setattr(tiled, "MAX_PIXELS", 96 * 96 - 1)
    assert Detector.fit(grained(6, 64, 64), tile=32, **QUICK).calibration.unit == "image"
    with pytest.raises(ImageError, match=r"more than the 9,215 .* use daad search"):
        score_by_tiles_of(grained(1, 96, 96)[0])


def score_by_tiles_of(image: Any) -> Any:
    found = Detector.fit(grained(6, 64, 64), tile=32, **QUICK)
    return score_by_tiles(found.scorer, found.preprocess, Sample(image, "large"))


def test_it_is_saved_and_loaded_with_its_tiles(detector: Detector, tmp_path: Path) -> None:
    image = grained(1, 100, 120, seed=9)[0]
    again = daad.load(detector.save(tmp_path / "d"))
    assert again.preprocess == detector.preprocess and again.calibration == detector.calibration
    assert again.predict_one(image).score == detector.predict_one(image).score


def test_it_resumes_and_reuses_its_cache(tmp_path: Path) -> None:
    paths = [save_png(tmp_path / "good" / f"{i}.png", image) for i, image in enumerate(grained(6, 64, 96))]
    options = {**QUICK, "tile": 32, "run": tmp_path / "run", "checkpoint_every": 10}
    first = Detector.fit(paths, **options)
    index = (tmp_path / "run" / "cache" / "index.json").stat().st_mtime_ns
    again = Detector.fit(paths, **options, resume=True)
    assert (tmp_path / "run" / "cache" / "index.json").stat().st_mtime_ns == index
    assert again.calibration == first.calibration
    other = Detector.fit(paths, **{**options, "tile": 48, "image_size": 48})
    assert other.preprocess.height == 48


def test_what_cannot_be_tiled_is_refused_or_left_out(detector: Detector) -> None:
    small, good = striped(1, 20, 20, 1)[0], list(grained(6, 64, 64))
    found = Detector.fit([small, *good], tile=32, **QUICK)
    assert "less than a tile" in found.provenance["left_out"][0]["reason"]
    prediction = next(detector.predict([small]))
    assert prediction.is_anomalous is None and "less than a tile" in str(prediction.error)
    with pytest.raises(DataError, match=r"in one block.* smaller tile"):
        Detector.fit([grained(1, 96, 96)[0]], tile=32, **QUICK)
    with pytest.raises(ConfigError, match="tile=4"):
        Detector.fit(good, tile=4, **QUICK)
    with pytest.raises(DataError, match="none of the 1 images can be read"):
        Detector.fit([small], tile=32, **QUICK)


def test_a_detector_of_whole_images_may_judge_by_tiles_with_the_rate_of_tiles(detector: Detector) -> None:
    whole = Detector.fit(grained(12, 32, 32), **QUICK)
    by_tiles = whole.with_tiles(32)
    assert by_tiles.calibration.unit == "tile" and by_tiles.calibration.scores == whole.calibration.scores
    assert by_tiles.predict_one(grained(1, 100, 100)[0]).anomaly_map is not None
    assert detector.with_tiles(32, 0.5).calibration.unit == "tile"
    with pytest.raises(ConfigError, match="learnt tiles of 32x32"):
        detector.with_tiles(64)


def test_equal_names_of_different_sizes_are_told_apart() -> None:
    samples = [Sample(image, "x") for image in grained(3, 64, 80)] + [Sample(grained(1, 96, 128)[0], "x")]
    samples += [Sample(image, f"{i}") for i, image in enumerate(grained(4, 64, 64))]
    assert Detector.fit(samples, tile=32, **QUICK).provenance["left_out"] == []


def test_one_group_is_told_as_such() -> None:
    samples = [Sample(image, f"{i}", group="a") for i, image in enumerate(grained(3, 200, 200))]
    with pytest.raises(DataError, match="all images belong to one group, 'a'"):
        Detector.fit(samples, tile=32, **QUICK)


def test_pictures_are_made_of_all_that_can_be_judged(detector: Detector, tmp_path: Path) -> None:
    import rasterio

    from daad.cli import run

    place, images = detector.save(tmp_path / "d"), tmp_path / "images"
    save_png(images / "1.png", grained(1, 64, 64)[0])
    floats = (grained(1, 64, 64)[0] / 255).astype(np.float32).transpose(2, 0, 1)
    with rasterio.open(images / "0.tif", "w", driver="GTiff", width=64, height=64, count=1, dtype="float32") as file:
        file.write(floats)
    assert (
        run(["predict", str(place), str(images), "-o", str(tmp_path / "o.csv"), "--pictures", str(tmp_path / "p")]) == 0
    )
    assert len(list((tmp_path / "p").iterdir())) == 4


def test_evaluation_measures_pixels_of_the_full_image(detector: Detector, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for i, image in enumerate(grained(6, 96, 128, seed=20)):
        save_png(folder / "test" / "good" / f"{i}.png", image)
        bad = image.copy()
        bad[40:52, 60:72] = 255
        save_png(folder / "test" / "spot" / f"{i}.png", bad)
        mask = np.zeros((96, 128, 1), np.uint8)
        mask[40:52, 60:72] = 255
        save_png(folder / "ground_truth" / "spot" / f"{i}_mask.png", mask)
    metrics = detector.evaluate(folder).metrics
    assert metrics["image_auroc"].value == 1 and metrics["pixel_auroc"].value > 0.95


def test_a_geotiff_border_is_not_judged(detector: Detector, tmp_path: Path) -> None:
    import rasterio

    image = grained(1, 128, 160, seed=4)[0]
    image[:, :70] = 0
    path = tmp_path / "x.tif"
    with rasterio.open(path, "w", driver="GTiff", width=160, height=128, count=1, dtype="uint8", nodata=0) as file:
        file.write(image.transpose(2, 0, 1))
    found = detector.predict_one(path)
    assert found.anomaly_map is not None and (found.anomaly_map[:, :70] == 0).all()
    plain = tmp_path / "plain.png"
    Image.fromarray(image[..., 0]).save(plain)
    assert found.score < detector.predict_one(plain).score
    image[...] = 0
    with rasterio.open(path, "w", driver="GTiff", width=160, height=128, count=1, dtype="uint8", nodata=0) as file:
        file.write(image.transpose(2, 0, 1))
    with pytest.raises(ImageError, match="no tile of it is free of missing data"):
        detector.predict_one(path)
