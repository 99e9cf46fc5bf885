"""Where a detector may be saved: nothing of the user's is deleted, and what cannot work is told before training."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from daad import ArtifactError, Detector
from daad.artifact.place import FILES
from daad.detector.detector import prepare_output

FOREIGN = ["pwa folder", "files folder", "zip", "text.zip", "folder.zip", "file", "zip with notes", "dangling weights"]


def foreign(kind: str, folder: Path, saved: Path) -> Path:
    """Something of the user's at a place where a detector is then saved."""
    place = folder / ("thing.zip" if "zip" in kind else "thing")
    if kind == "zip":
        with zipfile.ZipFile(place, "w") as archive:
            archive.writestr("manifest.json", json.dumps({"name": "my app"}))
    elif kind == "zip with notes":
        Detector.load(saved).save(place)
        with zipfile.ZipFile(place, "a") as archive:
            archive.writestr("notes.txt", "mine")
    elif kind in ("file", "text.zip"):
        place.write_text("mine")
    else:
        place.mkdir()
        name = {"pwa folder": "manifest.json", "dangling weights": "weights.safetensors"}.get(kind, "photo.png")
        (place / name).write_text('{"name": "my app"}')
    return place


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that is under a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_not_a_detector_is_refused_and_stays(saved: Path, tmp_path: Path, kind: str) -> None:
    place = foreign(kind, tmp_path, saved)
    before = tree(tmp_path)
    for attempt in (prepare_output, Detector.load(saved).save):
        with pytest.raises(ArtifactError, match=f"{place}: .* choose another"):
            attempt(place)
    assert tree(tmp_path) == before


def test_the_files_of_the_user_in_a_detectors_folder_stay(copy: Path) -> None:
    (copy / "notes.txt").write_text("mine")
    (copy / "photos").mkdir()
    (copy / "photos" / "a.png").write_text("mine too")
    detector = Detector.load(copy).with_false_alarm_rate(0.3)
    prepare_output(copy)
    detector.save(copy)
    assert Detector.load(copy).calibration == detector.calibration
    assert sorted(tree(copy)) == sorted([*FILES, "notes.txt", "photos", "photos/a.png"])
    assert sorted(path.name for path in copy.parent.iterdir()) == ["detector"]


@pytest.mark.parametrize("name", ["new", "new.zip", "deep/er/new", "empty", "empty.zip", "old", "old.zip"])
def test_absent_empty_and_older_detectors_are_replaced(saved: Path, tmp_path: Path, name: str) -> None:
    detector, place = Detector.load(saved), tmp_path / name
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.zip").touch()
    for old in ("old", "old.zip"):
        detector.save(tmp_path / old)
    newer = detector.with_false_alarm_rate(0.3)
    prepare_output(place)
    newer.save(place)
    assert Detector.load(place).calibration == newer.calibration
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("name", ["link", "link.zip"])
def test_a_link_stays_and_its_target_is_replaced(saved: Path, tmp_path: Path, name: str) -> None:
    target, link = tmp_path / "far" / name.replace("link", "target"), tmp_path / name
    detector = Detector.load(saved)
    detector.save(target)
    link.symlink_to(target)
    newer = detector.with_false_alarm_rate(0.3)
    newer.save(link)
    assert link.is_symlink()
    assert Detector.load(target).calibration == newer.calibration


@pytest.mark.parametrize("name", [".", "./", "../here", "../here/"])
def test_the_current_folder_is_filled_and_not_renamed_away(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    before = here.stat().st_ino
    for rate in (0.2, 0.3):
        newer = Detector.load(saved).with_false_alarm_rate(rate)
        newer.save(name)
        assert Detector.load(".").calibration == newer.calibration
    assert here.stat().st_ino == before


@pytest.mark.parametrize(("path", "reason"), [("", "the path is empty"), ("a\0b", "null byte")])
def test_an_empty_or_impossible_path_is_told(saved: Path, path: str, reason: str) -> None:
    for attempt in (Detector.load, Detector.load(saved).save):
        with pytest.raises(ArtifactError, match=reason):
            attempt(path)


def test_the_root_is_refused(saved: Path) -> None:
    for attempt in (prepare_output, Detector.load(saved).save, Detector.load):
        with pytest.raises(ArtifactError, match="not a daad detector"):
            attempt(Path("/"))


@pytest.mark.parametrize(
    "name", ["x" * 300, "x" * 300 + ".zip", "file/detector", "file/detector.zip", "x" * 300 + "/d"]
)
def test_a_place_that_cannot_be_written_is_refused_before_training(saved: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    for attempt in (prepare_output, Detector.load(saved).save):
        with pytest.raises(ArtifactError, match="cannot be written there .*(shorter name|another place)"):
            attempt(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_read_only_place_is_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    (tmp_path / "empty").touch()
    for name in ("detector", "detector.zip"):
        with pytest.raises(ArtifactError, match=r"Permission denied.*make it accessible"):
            prepare_output(tmp_path / name)


def test_nothing_is_left_of_the_trial(tmp_path: Path) -> None:
    prepare_output(tmp_path / "detector")
    assert not list(tmp_path.iterdir())
