"""A detector of boxes from labelled files to an evaluation: accuracy, saving, resuming after a kill, bad input."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daad import ArtifactError, BoxDetector, ConfigError, DataError, Detector, ImageError, TrainingError
from daad.data.box_set import read_boxes
from tests.boxes.conftest import TINY, made, write_data
from tests.images import striped

SHORT = {**TINY, "steps": 4}
KILLED = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from daad import BoxDetector
folder, settings = sys.argv[1], eval(sys.argv[2])

def progress(phase, done, total):
    if phase == "train" and done == 5:
        os.kill(os.getpid(), signal.SIGKILL)

BoxDetector.fit(folder, run=folder + "/run", checkpoint_every=2, progress=progress, **settings)
"""


def state(detector: BoxDetector) -> dict[str, bytes]:
    return {name: value.contiguous().numpy().tobytes() for name, value in detector.model.state_dict().items()}


def test_it_detects_the_classes_it_learnt(learnt: BoxDetector, labelled: Path) -> None:
    evaluation = learnt.evaluate(labelled)
    quality = evaluation.quality
    assert quality.ap50 > 0.9 and evaluation.baseline.ap50 < 0.2
    assert evaluation.intervals["precision"].value > 0.8 and evaluation.intervals["recall"].value > 0.7
    assert (evaluation.images, evaluation.boxes) == (20, sum(len(sample.boxes) for sample in evaluation.samples))
    assert set(quality.by_class) == {"hole", "bar"} and set(quality.by_size) == {"small", "middle", "large"}
    assert evaluation.notes == []


def test_a_prediction_is_in_pixels_of_the_image_as_given(learnt: BoxDetector) -> None:
    image, objects = made(1000, 2)
    large = image.repeat(3, axis=0).repeat(2, axis=1)
    small, wide = learnt.predict_one(image), learnt.predict_one(large)
    assert wide.size == (288, 192) and small.size == (96, 96)
    assert [d.label for d in wide.detections] == [d.label for d in small.detections] != []
    for (x, y, w, h), kind in objects:
        best = min(
            wide.detections,
            key=lambda detection: np.abs(np.subtract(detection.box, (2 * x, 3 * y, 2 * (x + w), 3 * (y + h)))).sum(),
        )
        assert best.label == kind
        np.testing.assert_allclose(best.box, (2 * x, 3 * y, 2 * (x + w), 3 * (y + h)), atol=14)
    scores = [detection.score for detection in small.detections]
    assert scores == sorted(scores, reverse=True) and all(score >= learnt.confidence.threshold for score in scores)


def test_a_lower_score_shows_more_and_no_box_leaves_the_image(learnt: BoxDetector) -> None:
    image, _ = made(1001, 3)
    few, many = learnt.predict_one(image), learnt.predict_one(image, min_score=0.01)
    assert len(many.detections) > len(few.detections)
    corners = np.array([detection.box for detection in many.detections])
    assert corners.min() >= 0 and corners.max() <= 96 and (corners[:, 2:] > corners[:, :2]).all()
    assert len(many.detections) <= 100


def test_the_boxes_of_an_image_do_not_depend_on_the_batch(learnt: BoxDetector) -> None:
    images = [made(seed, 2)[0] for seed in range(1000, 1007)]
    predictions = list(learnt.predict(images, batch_size=4))
    for image, batched in zip(images, predictions, strict=True):
        alone = learnt.predict_one(image)
        assert [d.label for d in alone.detections] == [d.label for d in batched.detections]
        for a, b in zip(alone.detections, batched.detections, strict=True):
            np.testing.assert_allclose(a.box, b.box, atol=1e-2)
            assert a.score == pytest.approx(b.score, abs=1e-4)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(labelled: Path) -> None:
    first, second, other = (BoxDetector.fit(labelled, **SHORT, seed=seed) for seed in (0, 0, 1))
    assert state(first) == state(second) and first.confidence == second.confidence
    assert state(first) != state(other)


@pytest.mark.parametrize("name", ["detector", "detector.zip"])
def test_saving_and_loading_changes_no_bit(learnt: BoxDetector, tmp_path: Path, name: str) -> None:
    loaded = BoxDetector.load(learnt.save(tmp_path / name))
    assert state(loaded) == state(learnt)
    assert (loaded.confidence, loaded.preprocess, loaded.classes) == (
        learnt.confidence,
        learnt.preprocess,
        learnt.classes,
    )
    assert loaded.provenance == learnt.provenance
    image, _ = made(1002, 3)
    assert loaded.predict_one(image) == learnt.predict_one(image)


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    data = write_data(tmp_path, "train", range(20))
    settings = {**SHORT, "steps": 7}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(data), repr(settings)], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    resumed = BoxDetector.fit(data, run=data / "run", resume=True, checkpoint_every=2, **settings)
    assert resumed.provenance["training"]["resumed_at"] == 4
    uninterrupted = BoxDetector.fit(data, **settings)
    assert state(resumed) == state(uninterrupted) and resumed.confidence == uninterrupted.confidence


def test_a_run_with_other_boxes_is_not_resumed(tmp_path: Path) -> None:
    data = write_data(tmp_path, "train", range(20))
    BoxDetector.fit(data, run=data / "run", **SHORT)
    body = json.loads((data / "train.json").read_text())
    body["annotations"][0]["bbox"][0] += 1
    (data / "train.json").write_text(json.dumps(body))
    with pytest.raises(ArtifactError, match="other settings, network, data or seed"):
        BoxDetector.fit(data, run=data / "run", resume=True, **SHORT)


def test_onnx_gives_the_numbers_of_torch(learnt: BoxDetector, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    images = np.stack([learnt.preprocess.apply(made(seed, 3)[0]) for seed in range(5)])
    parity = learnt.export_onnx(tmp_path / "boxes.onnx", samples=images)
    assert parity["scores"] < 1e-4 and parity["boxes"] < 1e-4


def test_images_that_were_learnt_from_are_reported(learnt: BoxDetector, labelled: Path) -> None:
    evaluation = learnt.evaluate(read_boxes(labelled, split="train"))
    assert any("60 of these images were learnt from" in note for note in evaluation.notes)


def test_a_class_without_boxes_does_not_count_and_is_reported(learnt: BoxDetector, labelled: Path) -> None:
    data = read_boxes(labelled, split="test")
    holes = [sample for sample in data.samples if len(sample.labels) and (sample.labels == 0).all()]
    evaluation = learnt.evaluate(type(data)(holes, data.classes, []))
    assert any("bar" in note for note in evaluation.notes)
    assert np.isnan(evaluation.quality.by_class["bar"]) and evaluation.quality.ap50 > 0.8


def test_classes_in_another_order_are_the_same_classes(learnt: BoxDetector, labelled: Path) -> None:
    data = read_boxes(labelled, split="test")
    reordered = data.of(("bar", "hole"))
    assert reordered.classes != data.classes
    assert learnt.evaluate(reordered).quality == learnt.evaluate(data).quality
    holes = learnt.evaluate(data.of(("hole",)))
    assert len(holes.notes) > 1 and "unknown class 'bar'" in holes.notes[0]
    assert holes.quality.by_class["hole"] == learnt.evaluate(data).quality.by_class["hole"]


def test_images_without_any_box_have_no_average_precision(learnt: BoxDetector, labelled: Path) -> None:
    data = read_boxes(labelled, split="test")
    negatives = [sample for sample in data.samples if not len(sample.labels)]
    evaluation = learnt.evaluate(type(data)(negatives, data.classes, []))
    assert np.isnan(evaluation.quality.ap) and np.isnan(evaluation.intervals["recall"].value)
    assert evaluation.boxes == 0


def test_a_damaged_image_is_left_out_and_the_others_are_used(labelled: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(labelled, tmp_path / "data"))
    for name in ("train000.png", "test000.png"):
        path = data / "images" / name
        path.write_bytes(path.read_bytes()[:2000])  # the header is intact, so it fails when it is decoded
    detector = BoxDetector.fit(data, **SHORT)
    assert [failure["name"] for failure in detector.provenance["left_out"]] == ["train000.png"]
    assert detector.provenance["images"] == {"fit": 53, "held_out": 6, "unreadable": 1}
    evaluation = detector.evaluate(data)
    assert [failure.name for failure in evaluation.failures] == ["test000.png"] and evaluation.images == 19
    predictions = list(detector.predict(data / "images"))
    assert sorted(p.name for p in predictions if p.error) == ["test000.png", "train000.png"]
    with pytest.raises(ImageError, match=r"test000\.png"):
        detector.predict_one(data / "images" / "test000.png")


def test_nan_images_and_other_channels_are_refused(learnt: BoxDetector) -> None:
    nan = np.full((40, 40), np.nan, np.float32)
    five_channels = np.zeros((40, 40, 5), np.uint8)
    errors = [prediction.error for prediction in learnt.predict([nan, five_channels])]
    assert "NaN" in str(errors[0]) and "5 channels" in str(errors[1])


def test_labels_without_any_box_are_refused(labelled: Path, tmp_path: Path) -> None:
    body = json.loads((labelled / "train.json").read_text())
    shutil.copytree(labelled / "images", tmp_path / "images")
    (tmp_path / "train.json").write_text(json.dumps({**body, "annotations": []}))
    with pytest.raises(DataError, match="none of the 60 images has a box"):
        BoxDetector.fit(tmp_path, **SHORT)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"segmentation": "by-scale"}, "segmentation"),
        ({"classes": ["a"]}, "classes follows from the images and their boxes"),
        ({"steps": 3, "epochs": 2}, "either steps or epochs"),
        ({"overlap_weigth": 1.0}, "overlap_weight"),
        ({"preset": "large"}, "unknown preset 'large'"),
        ({"image_size": 32}, "height"),
        ({"holdout": 1.5}, "holdout"),
    ],
)
def test_invalid_settings_are_refused(labelled: Path, settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        BoxDetector.fit(labelled, **{**SHORT, **settings})


@pytest.mark.parametrize("score", [0.0, 1.5, float("nan")])
def test_a_score_out_of_range_is_refused(learnt: BoxDetector, score: float) -> None:
    with pytest.raises(ConfigError, match="min_score"):
        learnt.predict([made(0, 1)[0]], min_score=score)


def test_loading_the_other_kind_of_detector_says_what_it_is(learnt: BoxDetector, tmp_path: Path) -> None:
    learnt.save(tmp_path / "boxes")
    anomalies = Detector.fit(striped(6, 32, 32, 1), model="ae", image_size=32, size="nano", steps=1, epochs=None)
    anomalies.save(tmp_path / "anomalies")
    with pytest.raises(ArtifactError, match="boxes: is a detector of boxes, for daad boxes"):
        Detector.load(tmp_path / "boxes")
    with pytest.raises(ArtifactError, match="anomalies: is a detector of anomalies, for daad predict"):
        BoxDetector.load(tmp_path / "anomalies")


@pytest.mark.parametrize("file", ["weights.safetensors", "golden.safetensors", "manifest.json"])
def test_a_changed_file_is_refused(learnt: BoxDetector, tmp_path: Path, file: str) -> None:
    learnt.save(tmp_path / "boxes")
    path = tmp_path / "boxes" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ArtifactError):
        BoxDetector.load(tmp_path / "boxes")


def test_weights_that_give_nan_are_refused(learnt: BoxDetector, tmp_path: Path) -> None:
    loaded = BoxDetector.load(learnt.save(tmp_path / "boxes"))
    with torch.no_grad():
        next(loaded.model.parameters()).fill_(torch.nan)
    with pytest.raises(TrainingError, match="not finite"):
        loaded.predict_one(made(0, 1)[0])


def test_sixteen_bits_and_colour_go_from_fit_to_prediction(tmp_path: Path) -> None:
    from PIL import Image

    write_data(tmp_path, "train", range(12))
    for number, path in enumerate(sorted((tmp_path / "images").glob("*.png"))):
        grey = np.asarray(Image.open(path))
        Image.fromarray(grey.astype(np.uint16) * 257 if number % 2 else np.stack([grey] * 3, axis=-1)).save(path)
    detector = BoxDetector.fit(tmp_path, **SHORT)
    assert (detector.preprocess.channels, detector.preprocess.dtype) == (3, "uint16")
    assert detector.predict_one(tmp_path / "images" / "train000.png").error is None


def test_an_instance_is_not_fitted_again(learnt: BoxDetector) -> None:
    with pytest.raises(ConfigError, match=r"write new = BoxDetector.fit\(DATA\)"):
        learnt.fit("labelled")
