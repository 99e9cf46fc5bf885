"""Committed results keep their schema, the docs say what they say, and a run that fails leaves a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.baselines import BASELINES
from benchmarks.readings import reading

from benchmarks import choices, foundation, tables
from daad import Detector
from daad.data.preprocess import to_float
from daad.nn.losses import squared_error_per_image
from tests.images import spotted, striped

HEAD = {"category", "model", "seed"}
MEASURED = {
    "image_auroc",
    "image_auroc_by_reduction",
    "metrics",
    "by_defect",
    "config",
    "images",
    "train_seconds",
    "train_steps",
    "precision",
    "last_losses",
    "images_per_second",
    "provenance",
}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    if not foundation.RESULTS.is_file():
        pytest.skip("no results are committed yet")
    return foundation.read_rows(foundation.RESULTS)


def test_every_committed_row_has_the_schema(rows: list[dict[str, object]]) -> None:
    assert len({foundation.key(row) for row in rows}) == len(rows)
    for row in rows:
        keys = set(row) - HEAD
        expected = {"image_auroc", "baselines", "provenance"} if row["model"] == "baselines" else MEASURED
        assert keys in (expected, {"error"}), foundation.key(row)
        if "provenance" in row:
            assert set(row["provenance"]) >= {"commit", "machine", "threads", "load", "versions"}
            assert 0 <= row["image_auroc"] <= 1


def test_the_page_is_what_the_json_says(rows: list[dict[str, object]]) -> None:
    assert rows and tables.PAGE.read_text() == tables.page_now()


def test_a_category_that_is_missing_leaves_a_row_that_says_so(tmp_path: Path) -> None:
    row = foundation.measure(tmp_path / "absent", "screw", "ae", 0)
    assert "absent" in str(row["error"])
    assert "## Runs that failed" in tables.render([row])


def test_what_is_there_is_not_run_again_and_failures_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, int]] = []

    def fake(job: tuple[str, str, int], data: Path) -> dict[str, object]:
        asked.append(job)
        head = dict(zip(("category", "model", "seed"), job, strict=True))
        return {**head, "error": "crashed"} if job[2] else {**head, "image_auroc": 0.5}

    monkeypatch.setattr(foundation, "in_own_process", fake)
    jobs = [("screw", "ae", 0), ("screw", "ae", 1)]
    for _ in range(2):
        foundation.run_all(jobs, tmp_path, tmp_path / "results.json", 1)
    assert asked == [*jobs, jobs[1]]
    assert [row.get("error") for row in foundation.read_rows(tmp_path / "results.json")] == [None, "crashed"]


@pytest.mark.parametrize("name", list(BASELINES))
def test_a_baseline_scores_what_is_unlike_the_training_images_higher(name: str) -> None:
    train, good = striped(20, 32, 32, 1, seed=0) / 255.0, striped(5, 32, 32, 1, seed=1)
    bad = spotted(good, seed=2)[0]
    test = np.concatenate([good, bad]).astype(np.float32) / 255
    scores = BASELINES[name](train.astype(np.float32), test)
    assert scores.shape == (10,) and np.isfinite(scores).all()
    assert scores[5:].mean() > scores[:5].mean()


def test_synthetic_defects_change_a_part_of_every_image_and_are_seeded() -> None:
    images = striped(9, 64, 64, 1)
    first, again = choices.with_defects(images, 1), choices.with_defects(images, 1)
    assert (first == again).all() and (first != choices.with_defects(images, 2)).any()
    changed = (first != images).mean(axis=(1, 2, 3))
    assert (changed > 0).all() and (changed < 0.3).all()


def test_a_reading_of_the_paper_is_the_papers_score() -> None:
    images = striped(8, 32, 32, 1)
    detector = Detector.fit(images, image_size=32, size="nano", steps=2, batch_size=4)
    paper = reading(detector, choices.PLUS_READINGS["0.9 R + 0.1 L (paper)"])
    with torch.no_grad():
        batch = torch.from_numpy(to_float(images))
        output = paper.model(batch)
        features = [paper.model.discriminator.features(x) for x in (batch, output.reconstruction)]
        r_x, l_x = squared_error_per_image(batch, output.reconstruction), squared_error_per_image(*features)
    np.testing.assert_allclose(paper.decision_function(images), 0.9 * r_x + 0.1 * l_x, rtol=1e-4)
