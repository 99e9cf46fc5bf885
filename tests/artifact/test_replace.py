"""An older detector is replaced whole or not at all: where nothing can be renamed, when cut off, by two at once."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from daad import ArtifactError, Detector
from daad.artifact.place import FILES
from daad.detector.detector import prepare_output


@contextmanager
def hooked(verb: str, hook: Callable[[Path, Path], None]) -> Iterator[None]:
    """Call `hook(source, target)` before every Path.rename or Path.replace."""
    real = getattr(Path, verb)

    def wrapped(self: Path, target: Any) -> Path:
        hook(self, Path(target))
        return real(self, target)  # type: ignore[no-any-return]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, verb, wrapped)
        yield


def mounted(place: Path) -> Callable[[Path, Path], None]:
    """A hook by which `place` cannot be renamed, as a mount point cannot."""

    def refuse(source: Path, target: Path) -> None:
        if place in (source, target):
            raise OSError(errno.EBUSY, "Device or resource busy")

    return refuse


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("empty", [True, False])
def test_a_mount_point_is_written_into(copy: Path, empty: bool) -> None:
    newer = Detector.load(copy).with_false_alarm_rate(0.3)
    if empty:
        for name in FILES:
            (copy / name).unlink()
    inode = copy.stat().st_ino
    with hooked("rename", mounted(copy)):
        prepare_output(copy)
        newer.save(copy)
    assert copy.stat().st_ino == inode
    assert Detector.load(copy).calibration == newer.calibration
    assert names(copy) == sorted(FILES)
    assert names(copy.parent) == ["detector"]


def test_a_mounted_zip_is_written_over(saved: Path, tmp_path: Path) -> None:
    place = Detector.load(saved).save(tmp_path / "detector.zip")
    newer = Detector.load(saved).with_false_alarm_rate(0.3)
    with hooked("replace", mounted(place)):
        newer.save(place)
    assert Detector.load(place).calibration == newer.calibration
    assert names(tmp_path) == ["detector.zip"]


@pytest.mark.parametrize("failing", FILES)
@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_a_write_into_a_mount_point_that_fails_brings_the_old_one_back(
    copy: Path, failing: str, error: BaseException
) -> None:
    newer, before = Detector.load(copy), [(copy / name).read_bytes() for name in FILES]
    next(iter(newer.model.parameters())).data.add_(0.1)

    def fail(source: Path, target: Path) -> None:
        if target == copy / failing and source.suffix == ".tmp":
            raise error

    with (
        hooked("rename", mounted(copy)),
        hooked("replace", fail),
        pytest.raises((ArtifactError, KeyboardInterrupt)),
    ):
        newer.save(copy)
    assert [(copy / name).read_bytes() for name in FILES] == before
    assert names(copy) == sorted(FILES)


@pytest.mark.parametrize("failing", FILES)
def test_a_mix_of_two_detectors_never_loads(copy: Path, tmp_path: Path, failing: str) -> None:
    """What a power cut leaves: the process dies without cleaning up."""
    detector = Detector.load(copy)
    other = Detector.of(detector.name, detector.model, detector.preprocess, detector.calibration, {"other": True})
    next(iter(other.model.parameters())).data.add_(0.1)
    new = other.save(tmp_path / "new")
    for name in FILES[: FILES.index(failing)]:
        (new / name).replace(copy / name)
    if failing == FILES[0]:
        assert Detector.load(copy).provenance == detector.provenance
    else:
        with pytest.raises(ArtifactError, match="was changed after it was saved"):
            Detector.load(copy)
    prepare_output(copy)
    other.save(copy)
    assert Detector.load(copy).provenance == {"other": True}


@pytest.mark.parametrize("place", ["absent", "old", "mount", "old.zip"])
@pytest.mark.parametrize("moment", range(4))
def test_two_that_save_to_one_place_never_leave_a_broken_detector(
    saved: Path, tmp_path: Path, place: str, moment: int
) -> None:
    """The second saves from start to end at each moment at which the first is about to rename something."""
    path = tmp_path / place
    first, second = (Detector.load(saved) for _ in range(2))
    next(iter(first.model.parameters())).data.add_(0.1)
    first, second = first.with_false_alarm_rate(0.2), second.with_false_alarm_rate(0.3)
    if place != "absent":
        Detector.load(saved).save(path)
    if place == "mount":
        (path / "notes.txt").write_text("mine")
    calls = 0

    def interleave(_: Path, __: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == moment + 1:
            second.save(path)

    with hooked("rename", interleave), hooked("replace", interleave):
        first.save(path)
    assert Detector.load(path).calibration in (first.calibration, second.calibration)
    kept = ["notes.txt"] if place == "mount" else []
    assert names(tmp_path) == [place]
    if path.is_dir():
        assert names(path) == sorted([*FILES, *kept])


def test_two_that_never_stop_are_told_so(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daad.artifact.replace._is_complete", lambda _: False)
    with pytest.raises(ArtifactError, match="other processes keep changing it"):
        Detector.load(copy).save(copy)
