"""An audit ranks a pool by anomaly score, loses no image, and lists the kept images for a fit."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import daad
from daad import ConfigError, DataError
from daad.audit.audit import PoolRow
from daad.data.layouts import read_layout
from tests.images import save_png, striped

TINY = {"model": "mcod", "size": "nano", "steps": 30, "memory_slots": 4, "batch_size": 16, "image_size": 32}


def pool(odd: int = 3) -> np.ndarray:
    """40 striped images, the first `odd` of which are noise."""
    images = striped(40, 32, 32, 1)
    images[:odd] = np.random.default_rng(0).integers(0, 256, (odd, 32, 32, 1))
    return images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index, image in enumerate(pool()):
        save_png(tmp_path / "pool" / f"{index:02}.png", image)
    return tmp_path / "pool"


def test_anomalous_images_rank_first_whatever_the_contamination() -> None:
    few, many = (daad.audit(pool(), contamination=share, **TINY) for share in (0.05, 0.2))
    assert {row.name for row in few.rows[:3]} == {"array[0]", "array[1]", "array[2]"}
    assert [row.score for row in few.rows] == [row.score for row in many.rows]
    assert [sum(row.suspect for row in audit.rows) for audit in (few, many)] == [2, 8]
    assert [row.rank for row in few.rows] == list(range(1, 41))


def test_an_audit_learns_the_spread_from_part_of_the_pool_unless_the_user_says_otherwise() -> None:
    def share(**settings: float) -> float:
        return daad.audit(pool(), **{**TINY, "steps": 2, **settings}).provenance["config"]["support_fraction"]

    fitted = daad.Detector.fit(pool(), **{**TINY, "steps": 2})
    assert (share(), share(support_fraction=0.9), fitted.model.config.support_fraction) == (0.75, 0.9, 1.0)


def test_a_small_pool_of_good_images_has_no_large_deviations() -> None:
    audit = daad.audit(striped(30, 32, 32, 1), **TINY)
    assert audit.rows[0].deviations < 12 and sum(row.deviations > 3 for row in audit.rows) <= 6


def test_any_model_can_audit() -> None:
    audit = daad.audit(pool(), model="ae", size="nano", steps=40, image_size=32)
    assert {row.name for row in audit.rows[:3]} == {"array[0]", "array[1]", "array[2]"}


def test_an_unreadable_image_is_recorded_and_the_rest_is_ranked(folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    audit = daad.audit(folder, **TINY)
    assert len(audit.rows) == 40
    assert [failure.name for failure in audit.failures] == ["broken.png"]


def test_images_of_mixed_sizes_are_fine(folder: Path) -> None:
    save_png(folder / "wide.png", striped(1, 50, 90, 1)[0])
    assert len(daad.audit(folder, **TINY).rows) == 41


def test_the_kept_images_are_a_manifest_that_a_fit_takes(folder: Path, tmp_path: Path) -> None:
    save_png(folder / "again.png", pool()[20])
    (folder / "linked.png").symlink_to(folder / "21.png")
    audit = daad.audit(folder, contamination=0.08, **TINY)
    manifest = tmp_path / "lists" / "kept.csv"
    manifest.parent.mkdir()
    assert audit.write_kept(manifest) == 39
    samples = read_layout(manifest, split="train")
    kept = {row.name for row in audit.rows if not row.suspect}
    assert {sample.name for sample in samples} == {f"../pool/{name}" for name in kept}
    groups = {Path(sample.name).name: sample.group for sample in samples}
    assert groups["20.png"] == groups["again.png"] is not None
    assert groups["21.png"] == groups["linked.png"] not in (None, groups["20.png"])
    assert groups["30.png"] is None
    detector = daad.Detector.fit(manifest, model="ae", size="nano", steps=2, image_size=32)
    assert sum(detector.provenance["images"].values()) == 39


def test_the_table_has_every_image_once(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"no image")
    audit = daad.audit(folder, **TINY)
    audit.write_csv(tmp_path / "audit.csv")
    rows = list(csv.DictReader((tmp_path / "audit.csv").open()))
    assert sorted(row["name"] for row in rows) == sorted(path.name for path in folder.iterdir())
    assert [row["rank"] for row in rows] == [*map(str, range(1, 41)), ""]
    assert "broken.png" in rows[-1]["error"]


def test_where_most_images_are_copies_the_others_deviate_and_ties_are_counted() -> None:
    images = np.concatenate([pool(odd=1)[:12], np.repeat(pool()[20:21], 28, axis=0)])
    tied = daad.audit(images, contamination=0.5, **TINY)
    assert tied.rows[0].deviations > 1 and tied.rows[-1].distance == "+0.0 sd"
    assert tied.ties == 28 and daad.audit(pool(), **TINY).ties == 0


@pytest.mark.parametrize(
    ("deviations", "words"), [(-0.04, "+0.0 sd"), (2.34, "+2.3 sd"), (-1.2, "-1.2 sd"), (8e9, "over +1,000 sd")]
)
def test_a_distance_is_written_in_standard_deviations(deviations: float, words: str) -> None:
    assert PoolRow(1, "a", 1.0, deviations, True, 0, 1).distance == words


def test_images_without_a_path_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"array\[\d+\]: has no path"):
        daad.audit(pool(), **TINY).write_kept(tmp_path / "kept.csv")
    assert not (tmp_path / "kept.csv").exists()


@pytest.mark.parametrize("share", [0.0, -0.1, 0.6, 5])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="contamination"):
        daad.audit(pool(), contamination=share, **TINY)


def test_one_image_is_no_pool() -> None:
    with pytest.raises(DataError, match="give more"):
        daad.audit(pool()[:1], **TINY)


def test_fewer_images_than_slots_are_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="memory_slots 10 is more than the 6"):
        daad.audit(pool()[:6], **{**TINY, "memory_slots": 10})


def test_the_same_seed_gives_the_same_audit() -> None:
    first, second = (daad.audit(pool(), **TINY) for _ in range(2))
    assert first.rows == second.rows


def test_images_that_are_all_nearly_alike_can_be_fitted_after_an_audit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(20):  # a camera at rest: steps of one grey level here and there
        image = np.full((32, 32, 1), 100, np.uint8)
        image[rng.integers(0, 32, 5), rng.integers(0, 32, 5)] += 1
        save_png(tmp_path / "pool" / f"{index:02}.png", image)
    audit = daad.audit(tmp_path / "pool", **TINY)
    audit = replace(audit, rows=[replace(row, group=0, group_size=20) for row in audit.rows])
    audit.write_kept(tmp_path / "kept.csv")
    assert {sample.group for sample in read_layout(tmp_path / "kept.csv", split="train")} == {None}


def test_the_manifest_has_right_paths_with_links_and_spaces_in_names(folder: Path, tmp_path: Path) -> None:
    (folder / "01.png").rename(folder / " lead.png")
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    audit = daad.audit(folder, contamination=0.01, **TINY)
    audit.write_kept(tmp_path / "link" / "kept.csv")
    samples = read_layout(tmp_path / "link" / "kept.csv", split="train")
    assert len(samples) == 39 and all(sample.image.is_file() for sample in samples)


def test_a_name_that_is_not_utf_8_is_reported_and_the_others_are_listed(folder: Path, tmp_path: Path) -> None:
    (folder / "21.png").rename(folder / os.fsdecode(b"bad\xff.png"))
    audit = daad.audit(folder, contamination=0.01, **TINY)
    assert not any(row.suspect and "bad" in row.name for row in audit.rows)
    with pytest.raises(DataError, match=r"written without 1 images .* bad\\udcff.png"):
        audit.write_kept(tmp_path / "kept.csv")
    assert len(read_layout(tmp_path / "kept.csv", split="train")) == 38


def test_a_manifest_whose_labels_are_all_blank_is_a_pool(folder: Path, tmp_path: Path) -> None:
    lines = ["path,label", *(f"pool/{path.name}," for path in sorted(folder.iterdir()))]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    assert len(daad.audit(tmp_path / "list.csv", **TINY).rows) == 40


def test_an_image_of_another_kind_is_left_out_of_a_large_pool_and_a_mixture_is_refused(folder: Path) -> None:
    np.save(folder / "five.npy", np.zeros((32, 32, 5), np.uint8))
    audit = daad.audit(folder, **TINY)
    assert len(audit.rows) == 40 and "five.npy: has 5 channels" in audit.failures[0].reason
    for index in range(6):
        np.save(folder / f"more{index}.npy", np.zeros((32, 32, 5), np.uint8))
    with pytest.raises(DataError, match="images differ in channels"):
        daad.audit(folder, **TINY)


def test_the_error_for_too_few_images_counts_those_that_could_not_be_read(folder: Path) -> None:
    for path in sorted(folder.iterdir())[3:]:
        path.write_bytes(b"text")
    with pytest.raises(ConfigError, match=r"memory_slots 4 is more than the 3 .* \(37 images were left out; .*03.png"):
        daad.audit(folder, **TINY)


@pytest.mark.parametrize("size", [24, 40])
def test_sizes_that_are_no_multiple_of_16_are_fine(size: int) -> None:
    assert len(daad.audit(pool(), **{**TINY, "image_size": size, "steps": 2}).rows) == 40
