"""Where a detector may be written: checked before hours of training, and again before anything is replaced."""

from __future__ import annotations

import errno
import os
import re
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daad.artifact.manifest import MAX_MANIFEST_BYTES, is_manifest
from daad.errors import ArtifactError
from daad.files import beside

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
GOLDEN = "golden.safetensors"
FILES = (WEIGHTS, GOLDEN, MANIFEST)  # in the order in which they are put in place

_LEFTOVER = re.compile(rf"\.({'|'.join(map(re.escape, FILES))})\.[0-9a-f]{{8}}\.(tmp|old)")
_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def resolved(path: str | Path) -> Path:
    """The absolute path with every link followed, so that what a link points at is replaced and not the link."""
    if not os.fspath(path):
        raise ArtifactError("the path is empty; give the folder of a detector, or a file ending in .zip")
    try:
        return Path(path).resolve()
    except (ValueError, RuntimeError, OSError) as error:  # a null byte, links in a circle
        raise ArtifactError(f"{str(path)!r} is not a path that can be used ({error}); choose another") from None


@contextmanager
def os_errors_named(path: Path, verb: str = "written") -> Iterator[None]:
    """Turn what the operating system complains about into one ArtifactError that names the place."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "make it accessible, or choose another place")
        what = error.strerror or str(error)
        raise ArtifactError(f"{path}: the detector cannot be {verb} there ({what}); {advice}") from error


def check_replaceable(path: Path) -> None:
    """Refuse a resolved path where something other than a detector, an empty folder or an empty file stands."""
    with os_errors_named(path):
        if not path.exists():
            return
        if path.suffix == ".zip":
            _check_zip(path)
        elif not path.is_dir():
            raise ArtifactError(f"{path}: already exists and is no folder; choose another place, or a name in .zip")
        elif not is_ours(path):
            raise ArtifactError(f"{path}: already exists and is not a daad detector; choose another place")


def check_writable(path: Path) -> None:
    """Try whether a detector could be written to this resolved path: make its parent, and a temporary name there."""
    with os_errors_named(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _try_folder(beside(path))
        except OSError:
            if path.is_dir():  # a mount point, perhaps: the files can still be put into it
                _try_folder(path / f".{WEIGHTS}.{secrets.token_hex(4)}.tmp")
            elif path.is_file():
                path.open("r+b").close()
            else:
                raise


def is_ours(folder: Path) -> bool:
    """Whether a folder is a detector, or holds nothing but what a save that was cut off left behind."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return all(map(is_leftover, folder.iterdir()))
    return manifest.stat().st_size <= MAX_MANIFEST_BYTES and is_manifest(manifest.read_bytes())


def is_leftover(path: Path) -> bool:
    """Whether this is a temporary or a backup of ours inside a detector's folder."""
    return _LEFTOVER.fullmatch(path.name) is not None


def _try_folder(path: Path) -> None:
    path.mkdir()
    path.rmdir()


def _check_zip(path: Path) -> None:
    if path.is_dir():
        raise ArtifactError(f"{path}: is a folder, and a detector cannot be zipped into it; choose another name")
    if not path.is_file():
        raise ArtifactError(f"{path}: already exists and is not a file; choose another name")
    if path.stat().st_size == 0:
        return
    try:
        with zipfile.ZipFile(path) as archive, archive.open(MANIFEST) as file:
            ours, names = is_manifest(file.read(MAX_MANIFEST_BYTES + 1)), archive.namelist()
    except Exception:  # zipfile lets a dozen types through for a damaged file
        ours, names = False, []
    if not ours:
        raise ArtifactError(f"{path}: already exists and is not a daad detector; choose another place")
    foreign = sorted(set(names) - set(FILES))
    if foreign:
        raise ArtifactError(f"{path}: also holds {foreign[0]!r}, which would be lost; choose another place")
