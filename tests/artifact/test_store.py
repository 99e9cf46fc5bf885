"""A saved detector: what is refused, and that nothing half-written is ever seen."""

from __future__ import annotations

import errno
import json
import zipfile
from pathlib import Path

import pytest
import torch

from daad import ArtifactError, Detector
from daad.artifact.manifest import Manifest, parse_manifest
from daad.artifact.place import FILES
from daad.runtime.golden import golden_images
from tests.artifact.forgery import edit, resigned
from tests.images import striped


def test_an_artifact_holds_json_and_safetensors_and_nothing_else(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == [
        "golden.safetensors",
        "manifest.json",
        "weights.safetensors",
    ]


def test_the_golden_sample_is_not_an_image_of_the_user(saved: Path) -> None:
    other = Detector.fit(striped(8, 32, 32, 1, seed=9), model="ae", image_size=32, size="nano", steps=1, batch_size=4)
    from safetensors.torch import load_file

    golden = load_file(saved / "golden.safetensors")["image"]
    assert torch.equal(golden, torch.from_numpy(golden_images(other.preprocess).astype("int32")))


@pytest.mark.parametrize("name", ["weights.safetensors", "golden.safetensors"])
def test_truncated_and_altered_files_are_named(copy: Path, name: str) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-10])
    with pytest.raises(ArtifactError, match=f"{name} is truncated or was changed"):
        Detector.load(copy)
    (copy / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ArtifactError, match=f"{name} is truncated or was changed"):
        Detector.load(copy)
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing: incomplete"):
        Detector.load(copy)


def test_an_edited_manifest_is_refused(copy: Path) -> None:
    edit(copy, provenance={})
    with pytest.raises(ArtifactError, match="changed after it was saved"):
        Detector.load(copy)


def test_an_unknown_schema_says_to_upgrade(copy: Path) -> None:
    edit(copy, schema_version=99)
    with pytest.raises(ArtifactError, match=r"schema version 99 .* upgrade daad"):
        Detector.load(copy)


@pytest.mark.parametrize("content", ["", "[]", "{}", "not json", '{"kind": "other"}'])
def test_a_foreign_manifest_is_refused(copy: Path, content: str) -> None:
    (copy / "manifest.json").write_text(content)
    with pytest.raises(ArtifactError, match=r"manifest\.json is not"):
        Detector.load(copy)


def test_a_config_that_asks_for_more_memory_than_its_weights_is_refused_before_it_is_taken(copy: Path) -> None:
    config = {**json.loads((copy / "manifest.json").read_text())["config"], "widths": [10**6] * 5}
    resigned(copy, config=config)
    with pytest.raises(ArtifactError, match="asks for a tensor of 9,000,000,000,000 numbers, more than"):
        Detector.load(copy)


def test_an_unknown_model_is_refused(copy: Path) -> None:
    resigned(copy, model="gan")
    with pytest.raises(ArtifactError, match="unknown model 'gan'"):
        Detector.load(copy)


def test_a_machine_that_gives_other_numbers_is_noticed(copy: Path) -> None:
    config = {**json.loads((copy / "manifest.json").read_text())["config"], "reduction": "mean"}
    resigned(copy, config=config)
    with pytest.raises(ArtifactError, match="golden sample scores"):
        Detector.load(copy)
    assert Detector.load(copy, verify=False).name == "ae"


@pytest.mark.parametrize("kind", ["missing", "empty folder", "file", "pickle"])
def test_what_is_not_a_detector_is_refused(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "thing"
    if kind == "empty folder":
        place.mkdir()
    elif kind == "file":
        place.write_text("hello")
    elif kind == "pickle":
        torch.save({"a": torch.zeros(1)}, place)
    with pytest.raises(ArtifactError, match=str(place)):
        Detector.load(place)


def test_damaged_and_foreign_zips_are_refused(saved: Path, tmp_path: Path) -> None:
    place = Detector.load(saved).save(tmp_path / "detector.zip")
    content = place.read_bytes()
    place.write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactError, match="zip"):
        Detector.load(place)
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ArtifactError, match=r"manifest\.json is missing"):
        Detector.load(place)


def test_a_zip_that_unpacks_to_more_than_allowed_is_cut_off(tmp_path: Path) -> None:
    place = tmp_path / "bomb.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b" " * (65 * 2**20))
    with pytest.raises(ArtifactError, match="larger than"):
        Detector.load(place)


def test_saving_again_replaces_the_detector_and_nothing_else(copy: Path, tmp_path: Path) -> None:
    detector = Detector.load(copy)
    detector.save(copy)
    assert Detector.load(copy).calibration == detector.calibration
    assert [path.name for path in tmp_path.iterdir()] == ["detector"]


def test_a_folder_that_is_not_a_detector_is_never_replaced(saved: Path, tmp_path: Path) -> None:
    place = tmp_path / "photos"
    place.mkdir()
    (place / "precious.png").write_bytes(b"x")
    with pytest.raises(ArtifactError, match="already exists and is not a daad detector"):
        Detector.load(saved).save(place)
    assert (place / "precious.png").read_bytes() == b"x"


def test_a_save_that_fails_leaves_the_old_detector(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Detector.load(copy)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("daad.files.os.fsync", fail)
    with pytest.raises(ArtifactError, match=f"{copy}: .*No space left on device.*free some space"):
        detector.save(copy)
    assert sorted(path.name for path in copy.parent.rglob("*")) == sorted(["detector", *FILES])
    assert Detector.load(copy).calibration == detector.calibration


def test_a_manifest_survives_json_bit_by_bit(saved: Path) -> None:
    content = (saved / "manifest.json").read_bytes()
    assert parse_manifest(content, "x", Manifest).to_json() == content
