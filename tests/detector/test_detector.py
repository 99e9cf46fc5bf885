"""`Detector`: every way in, bad input, decisions, evaluation."""

from __future__ import annotations

import inspect
import io
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import daad
from daad import ConfigError, DataError, Detector, ImageError, Sample
from daad.detector.options import FitPlan
from tests.images import save_png, spotted, striped

TINY = {"model": "ae", "image_size": 32, "size": "nano", "batch_size": 4}


@pytest.fixture(scope="module")
def detector() -> Detector:
    torch.set_num_threads(1)
    return Detector.fit(striped(24, 32, 32, 1), steps=150, reduction="max", **TINY)


def test_it_tells_good_from_bad_and_says_where(detector: Detector) -> None:
    images = striped(10, 32, 32, 1, seed=5)
    bad, masks = spotted(images, seed=6)
    good_scores, bad_scores = detector.score(images), detector.score(bad)
    assert bad_scores.min() > good_scores.max()
    for prediction, mask in zip(detector.predict(bad), masks, strict=True):
        assert prediction.is_anomalous
        left, top, right, bottom = prediction.regions[0].box
        assert mask[top:bottom, left:right].any()
        assert prediction.anomaly_map[mask].mean() > 3 * prediction.anomaly_map[~mask].mean()


def test_every_way_to_hand_over_an_image_gives_the_same_score(detector: Detector, tmp_path: Path) -> None:
    image = striped(1, 32, 32, 1, seed=7)[0]
    path = save_png(tmp_path / "in" / "one.png", image)
    pil = Image.open(path)
    expected = detector.predict_one(image).score
    sources = {
        "path": path,
        "text": str(path),
        "folder": path.parent,
        "array": image,
        "grey array": image[..., 0],
        "batch": image[None],
        "PIL": pil,
        "bytes": path.read_bytes(),
        "list": [path],
        "iterator": iter([image]),
        "sample": [Sample(image, "x")],
    }
    for name, source in sources.items():
        (prediction,) = detector.predict(source)
        assert prediction.score == expected, name


def test_a_stream_is_judged_as_it_comes_in_bounded_memory(detector: Detector) -> None:
    taken = 0

    def camera() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield striped(1, 32, 32, 1, seed=taken)[0]

    stream = detector.predict(camera(), batch_size=2)
    names = [next(stream).name for _ in range(5)]
    assert len(set(names)) == 5
    assert taken < 20


def test_a_bad_image_is_recorded_and_the_rest_go_on(detector: Detector, tmp_path: Path) -> None:
    images = striped(3, 32, 32, 1)
    for index, image in enumerate(images):
        save_png(tmp_path / f"{index}.png", image)
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "3.png").write_text("not an image")
    save_png(tmp_path / "4.png", images[0])
    predictions = {p.name: p for p in detector.predict(tmp_path, batch_size=2)}
    assert [name for name, p in predictions.items() if p.error] == ["1.png", "3.png"]
    assert "1.png" in str(predictions["1.png"].error)
    assert math.isnan(predictions["1.png"].score) and predictions["1.png"].is_anomalous is None
    assert predictions["4.png"].score == predictions["0.png"].score


def test_wrong_channels_are_told_by_name(detector: Detector) -> None:
    with pytest.raises(ImageError, match=r"array\[0\].*5.*1"):
        detector.predict_one(striped(1, 32, 32, 5)[0])


def test_a_missing_folder_is_told_at_once(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        detector.predict(tmp_path / "nowhere")


def test_batch_size_and_workers_do_not_change_a_score(detector: Detector) -> None:
    images = striped(7, 32, 32, 1, seed=3)
    one = detector.score(images, batch_size=1)
    np.testing.assert_allclose(detector.score(images, batch_size=7), one, rtol=1e-4)
    assert [p.score for p in detector.predict(images, workers=1)] == [
        p.score for p in detector.predict(images, workers=4)
    ]


def test_the_decision_is_the_thresholds_and_agrees_with_the_p_value(detector: Detector) -> None:
    images = np.concatenate([striped(6, 32, 32, 1, seed=8), spotted(striped(6, 32, 32, 1, seed=9))[0]])
    calibration = detector.calibration
    for prediction in detector.predict(images, maps=False):
        assert prediction.is_anomalous == (prediction.score > calibration.threshold)
        assert prediction.is_anomalous == (prediction.p_value <= calibration.guaranteed_rate)
        assert prediction.anomaly_map is None and prediction.reconstruction is None


def test_the_threshold_can_be_set_anew_without_training(detector: Detector) -> None:
    strict, loose = detector.with_false_alarm_rate(0.2), detector.with_false_alarm_rate(0.5)
    assert strict.calibration.threshold > loose.calibration.threshold
    assert strict.model is detector.model


def test_calibration_never_sees_a_training_image() -> None:
    """A held-out image that is unlike all others raises the threshold; trained on, it would not be in the scores."""
    seen: list[set[str]] = []
    samples = [Sample(image, f"{i}", group=f"part {i // 3}") for i, image in enumerate(striped(15, 32, 32, 1))]
    from daad.data.splits import hold_out

    for seed in range(3):
        learn, held_out = hold_out(samples, 0.2, seed)
        assert not {s.group for s in learn} & {s.group for s in held_out}
        seen.append({s.name for s in held_out})
    assert len({frozenset(s) for s in seen}) > 1
    detector = Detector.fit(samples, steps=1, **TINY)
    counts = detector.provenance["images"]
    assert counts["fit"] + counts["calibration"] == 15
    assert len(detector.calibration.scores) == counts["calibration"]


def test_unreadable_training_images_are_left_out_and_named(good_folder: Path, tmp_path: Path) -> None:
    images = [*sorted(good_folder.iterdir()), tmp_path / "broken.png"]
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    detector = Detector.fit(images, steps=1, **TINY)
    assert detector.provenance["images"]["unreadable"] == 1
    assert "broken.png" in detector.provenance["left_out"][0]["name"]


def test_the_long_side_follows_the_images(good_folder: Path) -> None:
    detector = Detector.fit(good_folder, steps=1, **{**TINY, "image_size": 32})
    assert (detector.preprocess.height, detector.preprocess.width) == (32, 48)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "dadd"}, "unknown model 'dadd'"),
        ({"preset": "large"}, "unknown preset 'large'"),
        ({"stps": 4}, r"unknown setting 'stps' \(did you mean 'steps'"),
        ({"false_alarm_rate": 0.0}, "false_alarm_rate: .*greater than 0, found 0.0"),
        ({"holdout": 1.5}, "holdout: .*less than 1, found 1.5"),
        ({"image_size": 40}, "multiple of 16"),
        ({"precision": "fp8"}, "precision"),
        ({"accelerator": "abacus"}, "accelerator: .*'cpu'.*found 'abacus'"),
        ({"seed": -1}, "seed: .*found -1"),
        ({"seed": "many"}, "seed: .*found 'many'"),
        ({"seed": True}, "seed: .*found True"),
        ({"steps": 5.0}, "steps: .*found 5.0"),
        ({"steps": 0}, "steps: .*found 0"),
        ({"image_size": 0}, "image_size"),
        ({"image_size": "32"}, "image_size"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"height": 32}, "height follows from the images; set image_size"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_any_work(options: dict[str, object], message: str) -> None:
    seen: list[str] = []
    with pytest.raises(ConfigError, match=message):
        Detector.fit(
            striped(6, 32, 32, 1), **{**TINY, "steps": 1, **options}, progress=lambda phase, *_: seen.append(phase)
        )
    assert seen == []


def test_one_image_is_too_few() -> None:
    with pytest.raises(DataError, match="at least two"):
        Detector.fit(striped(1, 32, 32, 1), steps=1, **TINY)


def test_two_images_are_enough_and_the_calibration_says_what_they_cannot_give() -> None:
    detector = Detector.fit(striped(2, 32, 32, 1), steps=1, **TINY)
    assert detector.calibration.guaranteed_rate == 0.5
    assert detector.calibration.note is not None


def test_constant_images_give_finite_scores() -> None:
    detector = Detector.fit(np.full((6, 32, 32, 1), 128, np.uint8), steps=5, **TINY)
    assert np.isfinite(detector.score(np.zeros((2, 32, 32, 1), np.uint8))).all()


def test_the_cache_is_reused_and_changes_nothing(good_folder: Path, tmp_path: Path) -> None:
    first = Detector.fit(good_folder, steps=3, run=tmp_path / "run", **TINY)
    cached = tmp_path / "run" / "cache" / "images.npy"
    written = cached.stat().st_mtime_ns
    second = Detector.fit(good_folder, steps=3, run=tmp_path / "run", **TINY)
    assert cached.stat().st_mtime_ns == written
    without = Detector.fit(good_folder, steps=3, run=tmp_path / "bare", cache=False, **TINY)
    assert not (tmp_path / "bare" / "cache").exists()
    assert first.calibration == second.calibration == without.calibration


def test_evaluation_measures_what_it_says(detector: Detector, mvtec_folder: Path) -> None:
    phases: list[tuple[str, int, int]] = []
    evaluation = detector.evaluate(mvtec_folder, progress=lambda *seen: phases.append(seen))
    assert evaluation.counts == {"good": 6, "anomalous": 6, "failed": 0}
    assert evaluation.metrics["image_auroc"].value == 1.0
    assert evaluation.metrics["pixel_auroc"].value > 0.9
    assert set(evaluation.metrics) >= {"image_ap", "image_f1_max", "pixel_ap", "aupro_0.3", "aupro_0.05"}
    assert evaluation.by_defect["spot"].value == 1.0
    assert phases[-1] == ("evaluate", 12, 12)
    labels, scores = evaluation.arrays()
    assert labels.sum() == 6 and len(scores) == 12


def test_nothing_in_the_detector_changes_when_it_is_evaluated(detector: Detector, mvtec_folder: Path) -> None:
    before = (detector.calibration, {k: v.clone() for k, v in detector.model.state_dict().items()})
    detector.evaluate(mvtec_folder)
    assert detector.calibration == before[0]
    assert all(torch.equal(value, before[1][key]) for key, value in detector.model.state_dict().items())


def test_test_images_do_not_reach_training_or_calibration(mvtec_folder: Path, tmp_path: Path) -> None:
    """Poisoned: the same training images with other test images and labels give the same detector, bit by bit."""
    import shutil

    poisoned = tmp_path / "poisoned"
    shutil.copytree(mvtec_folder, poisoned)
    for path in (poisoned / "test").rglob("*.png"):
        save_png(path, np.full((48, 48, 1), 255, np.uint8))
    shutil.move(poisoned / "test" / "good", poisoned / "test" / "other")
    first, second = (Detector.fit(folder, steps=3, **TINY) for folder in (mvtec_folder, poisoned))
    assert first.calibration == second.calibration
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True)
    )


def test_evaluating_without_labels_says_what_is_needed(detector: Detector, good_folder: Path) -> None:
    with pytest.raises(DataError, match="test/good"):
        detector.evaluate(good_folder)


def test_one_kind_of_test_image_gives_not_a_number_and_a_note(detector: Detector) -> None:
    images = striped(4, 32, 32, 1)
    samples = [Sample(image, f"{i}", label=0, split="test") for i, image in enumerate(images)]
    evaluation = detector.evaluate(samples)
    assert math.isnan(evaluation.metrics["image_auroc"].value)
    assert any("both kinds" in note for note in evaluation.notes)
    assert evaluation.metrics["false_alarm_rate"].value >= 0


def test_a_missing_mask_leaves_the_image_out_of_the_pixel_metrics_only(detector: Detector, mvtec_folder: Path) -> None:
    samples = [
        Sample(path, path.name, label=int(path.parent.name != "good"), split="test", defect=path.parent.name)
        for path in sorted((mvtec_folder / "test").rglob("*.png"))
    ]
    evaluation = detector.evaluate(samples)
    assert "pixel_auroc" not in evaluation.metrics
    assert any("mask" in note for note in evaluation.notes)
    assert len(evaluation.rows) == 12


def test_decision_function_takes_grey_stacks(detector: Detector) -> None:
    images = striped(3, 32, 32, 1)
    np.testing.assert_array_equal(detector.score(images), detector.score(images[..., 0]))


def test_load_is_offered_at_the_top(detector: Detector, tmp_path: Path) -> None:
    assert daad.load(detector.save(tmp_path / "d")).calibration == detector.calibration


def test_a_png_in_memory_can_be_predicted(detector: Detector) -> None:
    buffer = io.BytesIO()
    Image.fromarray(striped(1, 32, 32, 1)[0, ..., 0]).save(buffer, "PNG")
    score = detector.predict_one(buffer.getvalue()).score
    assert [p.score for p in detector.predict(buffer)] == [score]


def test_numpy_settings_are_as_good_as_pythons(tmp_path: Path) -> None:
    images = striped(6, 32, 32, 1)
    settings = {"steps": np.int64(2), "seed": np.int64(3), "learning_rate": np.float64(1e-3), "lambda_rec": 50.0}
    widths = np.array([8, 8, 16, 32, 64])
    detector = Detector.fit(
        images, **{**TINY, "image_size": np.int64(32)}, **settings, widths=widths, run=tmp_path / "r"
    )
    assert daad.load(detector.save(tmp_path / "d")).provenance["settings"]["widths"] == [8, 8, 16, 32, 64]


def test_a_buffer_that_is_filled_again_and_again_is_judged_frame_by_frame(detector: Detector) -> None:
    frames = striped(12, 32, 32, 1, seed=4)

    def camera() -> Iterator[np.ndarray]:
        buffer = np.empty_like(frames[0])
        for frame in frames:
            buffer[:] = frame
            yield buffer

    scores = [p.score for p in detector.predict(camera(), batch_size=4)]
    assert scores == [p.score for p in detector.predict(frames, batch_size=4)]


def test_an_image_given_for_a_batch_is_refused(detector: Detector) -> None:
    with pytest.raises(ImageError, match="looks like one image"):
        detector.score(striped(1, 32, 32, 1)[0])


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"workers": 0}])
def test_a_batch_of_nothing_is_refused(detector: Detector, options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        detector.predict(striped(1, 32, 32, 1), **options)


def test_an_unreadable_image_costs_the_held_out_part_nothing(tmp_path: Path) -> None:
    """Held out after decoding: a truncated file cannot be the only one that calibrates."""
    for index, image in enumerate(striped(5, 32, 32, 1)):
        save_png(tmp_path / f"{index}.png", image)
    for index in range(5):
        path = tmp_path / f"{index}.png"
        whole = path.read_bytes()
        path.write_bytes(whole[:-30])
        detector = Detector.fit(tmp_path, steps=1, **TINY)
        assert detector.provenance["images"] == {"fit": 3, "calibration": 1, "unreadable": 1}
        path.write_bytes(whole)


def test_a_bad_mask_is_named_and_its_image_stays_in_the_image_metrics(
    detector: Detector, mvtec_folder: Path, tmp_path: Path
) -> None:
    import shutil

    data = Path(shutil.copytree(mvtec_folder, tmp_path / "data"))
    (data / "ground_truth" / "spot" / "002_mask.png").write_bytes(b"broken")
    evaluation = detector.evaluate(data)
    assert len(evaluation.rows) == 12
    assert "002_mask.png" in evaluation.failures[0].reason
    assert any("leave out 1 images without a usable mask" in note for note in evaluation.notes)


def test_evaluating_an_array_without_labels_does_not_print_it(detector: Detector) -> None:
    with pytest.raises(DataError, match="the ndarray given: no image has a label"):
        detector.evaluate(striped(2, 32, 32, 1))


def test_a_batch_without_a_variance_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave batch norm a single value"):
        Detector.fit(striped(6, 16, 16, 1), steps=1, **{**TINY, "image_size": 16, "batch_size": 1})


def test_a_detector_is_made_by_learning_or_loading_and_says_so() -> None:
    with pytest.raises(ConfigError, match=r"write Detector.fit\(DATA, model='daad', steps=3\), or Detector.load"):
        Detector(model="daad", steps=3)


def test_an_instance_is_not_fitted_again_and_says_what_to_write(detector: Detector) -> None:
    before = detector.calibration
    with pytest.raises(ConfigError, match=r"write new = Detector.fit\(DATA\)"):
        detector.fit(striped(8, 32, 32, 1))
    assert detector.calibration is before


def test_every_option_of_fit_is_in_its_signature_and_its_help() -> None:
    parameters = inspect.signature(Detector.fit).parameters
    assert parameters["holdout"].default == 0.2 and parameters["settings"].kind is inspect.Parameter.VAR_KEYWORD
    assert set(FitPlan.names()) - {"settings"} < set(parameters)
    assert all(f"{name}: " in Detector.fit.__doc__ for name in parameters if name != "settings")
    assert inspect.signature(daad.audit).parameters["contamination"].default == 0.05
    assert inspect.signature(daad.search).parameters["top"].default == 50


def test_large_batches_are_run_in_parts_that_change_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    images = striped(12, 32, 48, 3)
    fitted = Detector.fit(images, model="ae", image_size=32, size="nano", steps=2, batch_size=4)
    at_once = fitted.scorer(images)
    monkeypatch.setattr("daad.runtime.engines.torch.PIXELS_AT_ONCE", 5 * 32 * 48)
    in_parts = fitted.scorer(images)
    np.testing.assert_allclose(in_parts.score, at_once.score, rtol=1e-4)
    np.testing.assert_allclose(in_parts.anomaly_map, at_once.anomaly_map, rtol=1e-3, atol=1e-6)
    assert in_parts.reconstruction.shape == at_once.reconstruction.shape == images.shape
