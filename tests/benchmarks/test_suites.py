"""A suite runs what is missing, keeps what is done, and turns every failure into a row that says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.baselines import BASELINES
from benchmarks.held_out import held_out_pairs, pixel_errors
from benchmarks.readings import reading
from benchmarks.suite import Suite, chosen, one_row, read_rows, run_all, without_nan
from benchmarks.synthetic import with_defects

from benchmarks import ladder, one_class, paper_preset, peers, suite, sweep
from daad import Detector
from daad.data.preprocess import to_float
from daad.models.daad.model import DAAD, DAADPlus
from daad.nn.losses import squared_error_per_image
from daad.presets import Preset
from tests.images import save_png, spotted, striped

NANO = {"size": "nano", "steps": 3, "batch_size": 4, "reduction": "max", "standardise": True}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with one small category in MVTec's layout, and presets that train for three steps."""
    for cls in (DAAD, DAADPlus):
        monkeypatch.setattr(cls, "presets", {"small": Preset(32, NANO)})
    folder = tmp_path / "data" / ladder.CATEGORIES["screw"]
    good = striped(12, 64, 64, 1)
    bad, masks = spotted(good, seed=3)
    for part, images in (("train/good", good), ("test/good", good[:3]), ("test/spot", bad[:3])):
        for index, image in enumerate(images):
            save_png(folder / part / f"{index}.png", image)
    for index, mask in enumerate(masks[:3]):
        save_png(folder / "ground_truth" / "spot" / f"{index}_mask.png", (np.squeeze(mask) * 255).astype(np.uint8))
    return tmp_path / "data"


def toy(answer: Any) -> Suite:
    jobs = [{"model": "a", "seed": 0}, {"model": "a", "seed": 1}, {"model": "b", "seed": 0}]
    return Suite("toy", ("model", "seed"), jobs, lambda data, job: answer(job))


def test_what_is_there_is_not_run_again_and_failures_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fake(of: Suite, job: dict[str, Any], data: Path) -> dict[str, Any]:
        asked.append(job)
        return {**job, "error": "crashed"} if job["seed"] else {**job, "image_auroc": 0.5}

    monkeypatch.setattr(suite, "in_own_process", fake)
    one, results = toy(None), tmp_path / "results.json"
    for _ in range(2):
        run_all(one, one.jobs, tmp_path, results, 1)
    assert asked == [*one.jobs, one.jobs[1]]
    assert [row.get("error") for row in read_rows(results)] == [None, "crashed", None]


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("import os; os.kill(os.getpid(), 9)", "exit -9"),
        ("import time; time.sleep(60)", "stopped after 1 s"),
        ("raise SystemExit('no memory')", "exit 1: no memory"),
    ],
)
def test_a_run_that_dies_hangs_or_exits_leaves_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, reason: str
) -> None:
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **rest: real([sys.executable, "-c", end], **rest))
    dying = Suite("toy", ("model", "seed"), [{"model": "a", "seed": 0}], lambda data, job: {}, timeout_s=1)
    run_all(dying, dying.jobs, tmp_path, tmp_path / "results.json", 1)
    (row,) = read_rows(tmp_path / "results.json")
    assert reason in row["error"]


def test_a_part_of_a_suite_can_be_chosen() -> None:
    assert chosen(toy(None), ["model=a", "seed=1"]) == [{"model": "a", "seed": 1}]
    with pytest.raises(SystemExit, match="fields are model, seed"):
        chosen(toy(None), ["model=c"])


def test_json_holds_no_nan() -> None:
    row = without_nan({"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": None}})
    assert json.dumps(row, allow_nan=False) == '{"a": null, "b": [1.5, null], "c": {"d": null}}'


@pytest.mark.parametrize("of", [ladder.LADDER, sweep.SUITE, peers.SUITE], ids=lambda s: s.name)
def test_a_category_that_is_missing_leaves_a_row_that_says_so(of: Suite, tmp_path: Path) -> None:
    row = one_row(of, tmp_path / "absent", of.jobs[-1])
    assert "absent" in row["error"] and of.key(row) == of.key(of.jobs[-1])


@pytest.mark.skipif(torch.cuda.is_available(), reason="here it would run for minutes")
def test_the_paper_preset_is_not_run_without_a_gpu(tmp_path: Path) -> None:
    row = one_row(paper_preset.SUITE, tmp_path, paper_preset.SUITE.jobs[0])
    assert "no CUDA device" in row["error"]


def test_one_class_without_its_files_leaves_a_row_that_names_one(tmp_path: Path) -> None:
    row = one_row(one_class.SUITE, tmp_path, {"dataset": "mnist", "normal": 3, "model": "daad", "seed": 0})
    assert "train-images-idx3-ubyte.gz" in row["error"]


def job(variant: str) -> dict[str, Any]:
    return {"variant": variant, "category": "screw", "seed": 0}


@pytest.mark.parametrize("variant", [sweep.DAAD, sweep.PLUS, "r_c = 2"])
def test_a_sweep_measures_errors_and_scores_on_test_and_held_out_images(data: Path, variant: str) -> None:
    row = one_row(sweep.SUITE, data, job(variant))
    assert row["errors"]["anomalous"] > 0 and row["held_out"]["errors"]["gap"] is not None
    assert row["held_out"]["images"] == 2 and set(row["image_auroc"]) >= set(sweep.READINGS)


def test_a_category_without_masks_has_no_errors_of_anomalous_pixels(data: Path) -> None:
    for mask in (data / ladder.CATEGORIES["screw"] / "ground_truth" / "spot").iterdir():
        mask.unlink()
    row = one_row(sweep.SUITE, data, job(sweep.DAAD))
    assert row["errors"]["normal"] > 0 and row["errors"]["gap"] is None and row["image_auroc"]["localised"] is not None


def test_one_training_image_leaves_a_row_that_says_so(data: Path) -> None:
    for image in sorted((data / ladder.CATEGORIES["screw"] / "train" / "good").iterdir())[1:]:
        image.unlink()
    assert "only one image" in one_row(sweep.SUITE, data, job(sweep.DAAD))["error"]


def test_the_held_out_criteria_see_no_test_image(data: Path) -> None:
    before = one_row(sweep.SUITE, data, job(sweep.DAAD))
    for path in (data / ladder.CATEGORIES["screw"] / "test").rglob("*.png"):
        save_png(path, striped(1, 64, 64, 1, seed=99)[0])
    after = one_row(sweep.SUITE, data, job(sweep.DAAD))
    assert before["held_out"] == after["held_out"] and before["errors"] != after["errors"]


def test_a_peer_is_judged_by_the_metrics_and_the_calibration_of_daad(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake(peer: str, images: dict[str, Any], seed: int, budget: float) -> tuple[dict[str, Any], dict[str, Any]]:
        assert {name: len(part) for name, part in images.items()} == {"train": 10, "calibration": 2, "test": 6}
        scores = {"calibration_scores": np.array([0.1, 0.2]), "test_scores": np.arange(6.0)}
        return scores, {"train_seconds": 1.0, "images_per_second": 9.0}

    monkeypatch.setattr(peers, "run_peer", fake)
    row = one_row(peers.SUITE, data, {"category": "screw", "model": "ganomaly", "seed": 0})
    assert row["metrics"]["image_auroc"]["value"] == 1.0 and "aupro_0.3" not in row["metrics"]


@pytest.mark.parametrize(
    ("end", "reason"), [("raise SystemExit('out of paper')", "out of paper"), ("pass", "no message")]
)
def test_a_peer_that_crashes_or_gives_nothing_leaves_a_row(
    data: Path, monkeypatch: pytest.MonkeyPatch, end: str, reason: str
) -> None:
    worker = data / "worker.py"
    worker.write_text(end)
    monkeypatch.setattr(peers, "WORKER", worker)
    monkeypatch.setattr(peers, "peer_python", lambda: sys.executable)
    row = one_row(peers.SUITE, data, {"category": "screw", "model": "draem", "seed": 0})
    assert "the peer draem" in row["error"] and reason in row["error"]


def test_idx_files_are_read(tmp_path: Path) -> None:
    import gzip

    body = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3]) + bytes(range(6))
    (tmp_path / "x.gz").write_bytes(gzip.compress(body))
    assert one_class.read_idx(tmp_path / "x.gz").tolist() == [[[0, 1, 2]], [[3, 4, 5]]]


def test_every_variant_of_the_sweep_is_legal_at_every_size() -> None:
    for variant, (model, settings) in sweep.VARIANTS.items():
        for category in sweep.SIZES:
            height, width = sweep.size_of(category, variant)
            cls = {"daad": DAAD, "daad+": DAADPlus}[model]
            given = {**cls.presets["small"].settings, **settings(height, width)}
            cls.Config.make(**given, height=height, width=width, channels=1)
            assert variant in {name for names in sweep.AXES.values() for name in names}


@pytest.mark.parametrize("name", list(BASELINES))
def test_a_baseline_scores_what_is_unlike_the_training_images_higher(name: str) -> None:
    train, good = striped(20, 32, 32, 1, seed=0) / 255.0, striped(5, 32, 32, 1, seed=1)
    bad = spotted(good, seed=2)[0]
    test = np.concatenate([good, bad]).astype(np.float32) / 255
    scores = BASELINES[name](train.astype(np.float32), test)
    assert scores.shape == (10,) and np.isfinite(scores).all()
    assert scores[5:].mean() > scores[:5].mean()


@pytest.mark.parametrize("channels", [1, 3])
def test_synthetic_defects_change_a_part_of_every_image_and_are_seeded(channels: int) -> None:
    images = list(striped(9, 80, 64, channels))
    (first, masks), (again, _), (other, _) = (with_defects(images, seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
    for image, found, mask in zip(images, first, masks, strict=True):
        assert 0 < mask.mean() < 0.3 and (found[~mask].astype(int) - image[~mask] <= 4).all()


def test_pairs_are_of_the_images_that_the_fit_held_out(data: Path) -> None:
    folder = data / ladder.CATEGORIES["screw"]
    detector = Detector.fit(folder, model="daad", image_size=32, seed=5)
    pairs = held_out_pairs(folder, detector)
    assert sorted(detector.score(pairs.good)) == pytest.approx(sorted(detector.calibration.scores))


def test_pixel_errors_weigh_every_image_alike() -> None:
    error, cover = np.ones((2, 4, 4), np.float32), np.zeros((2, 4, 4), np.float32)
    error[1], cover[0, 0, 0], cover[1] = 3.0, 0.5, 1.0
    found = pixel_errors(np.full((5, 4, 4), 0.5, np.float32), error, cover)
    assert found == {"normal": 0.5, "anomalous": 2.0, "gap": 1.5, "ratio": 4.0}


def test_a_reading_of_the_paper_is_the_papers_score() -> None:
    images = striped(8, 32, 32, 1)
    detector = Detector.fit(images, model="daad+", image_size=32, size="nano", steps=2, batch_size=4)
    paper = reading(detector, sweep.PLUS_READINGS["paper, gamma 0.9"])
    with torch.no_grad():
        batch = torch.from_numpy(to_float(images))
        output = paper.model(batch)
        features = [paper.model.discriminator.features(x) for x in (batch, output.reconstruction)]
        r_x, l_x = squared_error_per_image(batch, output.reconstruction), squared_error_per_image(*features)
    np.testing.assert_allclose(paper.score(images), 0.9 * r_x + 0.1 * l_x, rtol=1e-4)
