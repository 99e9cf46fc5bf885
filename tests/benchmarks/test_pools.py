"""What the suites of pools measure is what the library gives, and what is only partly run is not averaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.pages.pools import by_share, length_part, whole
from benchmarks.suite import one_row
from sklearn.covariance import OAS

from benchmarks import audits, outliers, outliers_paper
from daad import audit
from daad.models.daad.model import DAADPlus
from daad.models.mcod.model import MCOD
from daad.models.mcod.whitening import Whitening
from daad.presets import Preset
from tests.benchmarks.test_suites import NANO
from tests.images import save_png, spotted, striped

TINY = {"size": "nano", "steps": 3, "batch_size": 4, "memory_slots": 4}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A category with four spotted test images, and models that train for three steps."""
    monkeypatch.setattr(DAADPlus, "presets", {"small": Preset(32, NANO)})
    monkeypatch.setattr(MCOD, "presets", {"small": Preset(32, TINY)})
    folder = audits.folder_of(tmp_path, "magnetic_tile")
    good = striped(16, 64, 64, 1)
    for part, images in (("train/good", good), ("test/good", good[:3]), ("test/spot", spotted(good, seed=3)[0][:4])):
        for index, image in enumerate(images):
            save_png(folder / part / f"{index}.png", image)
    return tmp_path


def measured(data: Path, method: str) -> dict[str, Any]:
    return audits.measure(data, {"category": "magnetic_tile", "share": 0.1, "method": method, "seed": 0})


def test_one_training_of_mcod_gives_two_rankings_and_what_cleaning_is_worth(data: Path) -> None:
    row = measured(data, "mcod")
    assert row["rankings"].keys() == {"mcod", "mcod, neighbours"}
    assert (row["images"], row["mixed_in"]) == (18, 2)
    assert 0 <= row["daad+_image_auroc"] <= 1


def test_what_learns_nothing_ranks_and_trains_no_further_model(data: Path) -> None:
    row = measured(data, "pixel-knn")
    assert row["rankings"].keys() == {"pixel-knn"} and "daad+_image_auroc" not in row


def test_the_suites_neighbours_are_those_of_the_library() -> None:
    pool = striped(14, 32, 32, 1)
    settings = {"model": "mcod", "image_size": 32, "seed": 0, "epochs": None, **TINY}
    found = audit(pool, **settings, score="neighbours")
    model = audit(pool, **settings).scorer.model
    feature, apart = outliers.encoded(model, pool)
    by_name = {row.name: row.score for row in found.rows}
    expected = [by_name[f"array[{i}]"] for i in range(len(pool))]
    np.testing.assert_allclose(outliers.neighbour_distance(feature), expected, rtol=1e-3)
    assert apart.shape == (len(pool),) and (apart >= 0).all()


def test_the_mahalanobis_baseline_is_scikit_learns() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 50)) @ np.diag(np.linspace(0.1, 3, 50))
    np.testing.assert_allclose(outliers.mahalanobis(rows), OAS().fit(rows).mahalanobis(rows), rtol=1e-6)


def test_the_robust_baseline_is_what_mcod_does_with_its_features() -> None:
    rows = (np.random.default_rng(0).normal(size=(60, 8)) * np.linspace(0.5, 3, 8)).astype(np.float32)
    whitening = Whitening(8)
    whitening.fit(torch.from_numpy(rows), 0.75)
    expected = whitening(torch.from_numpy(rows) - whitening.bias).square().sum(dim=1)
    np.testing.assert_allclose(outliers.robust_mahalanobis(rows), expected, rtol=1e-2)


def test_seeds_that_not_every_method_was_run_for_are_left_out_of_the_means() -> None:
    fields = ("dataset", "share", "seed")
    rows = [job for job in outliers.JOBS if job["seed"] < 2]
    assert whole(rows, outliers.JOBS, fields) == rows
    missing = next(job for job in rows if job["seed"] == 1 and job["share"] == 0.1)
    left = whole([row for row in rows if row is not missing], outliers.JOBS, fields)
    assert len(left) == len(rows) - len(outliers.METHODS) * len(outliers.CLASSES)


def test_shares_are_compared_by_seeds_that_are_whole_at_every_share() -> None:
    rows = [{**job, "scores": {"score": {"auroc": 0.5}}} for job in outliers.JOBS]
    short = [row for row in rows if row["seed"] < 2 or row["share"] != 0.2]
    (heading, found) = by_share(short)
    assert heading.rstrip().endswith("seeds 0, 1")
    assert "| mcod | **0.500** ± 0.000 | **0.500** ± 0.000 | **0.500** ± 0.000 | **0.500** |" in found
    assert "daad" not in found


def test_long_trainings_are_shown_by_data_sets_that_are_whole() -> None:
    provenance = {"machine": "m", "threads": 1, "python": "3", "commit": "c", "versions": {"torch": "2"}}
    rows = [
        {**job, "scores": {"score": {"auroc": 0.5, "aupr_outliers": 0.25}}, "device": "a GPU", "provenance": provenance}
        for job in outliers_paper.JOBS
        if (job["method"], job["dataset"], job["normal"]) != ("mcod paper", "mnist", 0)
    ]
    page = "\n".join(length_part(rows))
    assert "| mcod paper | – | **0.500** ± 0.000 | **0.500** ± 0.000 | – |" in page
    assert "on a GPU." in page
    assert "Not measured" in "\n".join(length_part([]))


class TestThePapersLength:
    @pytest.fixture(autouse=True)
    def images(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pool, classes = striped(40, 32, 32, 1), np.arange(40) % 2
        monkeypatch.setattr(outliers_paper, "load", lambda data, dataset, split: (pool, classes))
        monkeypatch.setattr(MCOD, "presets", {name: Preset(32, TINY) for name in ("small", "paper", "official")})

    def measured(self, tmp_path: Path, method: str) -> dict[str, Any]:
        return one_row(outliers_paper.SUITE, tmp_path, {"dataset": "mnist", "normal": 0, "method": method, "seed": 0})

    def test_preset_small_is_measured_on_a_cpu(self, tmp_path: Path) -> None:
        row = self.measured(tmp_path, "mcod small")
        assert (row["images"], row["outliers"], row["device"], row["train_steps"]) == (22, 2, "CPU", 3)
        assert row["scores"].keys() == {"score"}

    def test_the_baselines_are_those_of_the_other_suite(self, tmp_path: Path) -> None:
        found = self.measured(tmp_path, outliers.TRIVIAL)["scores"]
        assert "pixel-knn" in found and "pixel-mahalanobis, robust" in found

    @pytest.mark.skipif(torch.cuda.is_available(), reason="here it would be measured")
    def test_the_wide_network_is_not_run_without_a_gpu(self, tmp_path: Path) -> None:
        assert "no CUDA device" in self.measured(tmp_path, "mcod official")["error"]
