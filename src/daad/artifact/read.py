"""Read the files of a detector, a folder or a zip of it. No pickle; every byte is held against its hash first."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as parse_tensors

from daad.artifact.manifest import MAX_MANIFEST_BYTES, AnyManifest, M, parse_manifest
from daad.artifact.place import GOLDEN, MANIFEST, WEIGHTS, os_errors_named, resolved
from daad.errors import ArtifactError

MAX_FILE_BYTES = 8 * 2**30

Arrays = dict[str, npt.NDArray[Any]]
Member = Callable[[str, int], bytes]


def read_artifact(path: str | Path, form: type[M]) -> tuple[M, Arrays, Arrays]:
    """Manifest of the form asked for, weights and golden sample of a detector, each file checked against its hash
    before it is parsed."""
    resolved(path)  # an empty or impossible path is reported as such
    manifest, contents = read_contents(Path(path), form)
    return manifest, _tensors(contents, WEIGHTS, path), _tensors(contents, GOLDEN, path)


def kind_of(path: str | Path) -> str:
    """What a saved thing is, one of `daad.artifact.manifest.KINDS`; its files are checked. Raises ArtifactError."""
    resolved(path)
    return read_contents(Path(path), AnyManifest)[0].kind


def read_contents(path: Path, form: type[M]) -> tuple[M, dict[str, bytes]]:
    """The manifest, and the bytes of the other files as its hashes want them."""
    with os_errors_named(path, "read"):
        if not path.exists():
            raise ArtifactError(f"{path}: no such detector; make one with 'daad fit'")
        if not path.is_file():
            return _read(path, form, lambda name, limit: _folder_member(path, name, limit))
        path.open("rb").close()  # a file that may not be read is reported as such
        try:
            archive = zipfile.ZipFile(path)
        except Exception:  # zipfile lets a dozen types through for a damaged file
            raise ArtifactError(f"{path}: not a daad detector (neither a folder nor a whole zip of one)") from None
        with archive:
            return _read(path, form, lambda name, limit: _zip_member(archive, path, name, limit))


def sha256(content: bytes) -> str:
    """The hash that a manifest holds of a file."""
    return hashlib.sha256(content).hexdigest()


def _read(where: Path, form: type[M], member: Member) -> tuple[M, dict[str, bytes]]:
    manifest = parse_manifest(member(MANIFEST, MAX_MANIFEST_BYTES), str(where), form)
    contents = {}
    for name in (WEIGHTS, GOLDEN):
        entry = manifest.files.get(name)
        if entry is None or not 0 <= entry.bytes <= MAX_FILE_BYTES:
            raise ArtifactError(f"{where}: manifest.json does not list a legal {name}")
        content = member(name, entry.bytes)
        if len(content) != entry.bytes or sha256(content) != entry.sha256:
            raise ArtifactError(f"{where}: {name} is truncated or was changed after it was saved; copy it again")
        contents[name] = content
    return manifest, contents


def _tensors(contents: dict[str, bytes], name: str, where: str | Path) -> Arrays:
    try:
        return {key: np.asarray(array) for key, array in parse_tensors(contents[name]).items()}
    except Exception as error:  # its own error, or those of numpy for a type or shape that numpy has not
        raise ArtifactError(f"{where}: {name} cannot be read ({error})") from None


def _folder_member(folder: Path, name: str, limit: int) -> bytes:
    path = folder / name
    if not path.is_file():
        what = "not a daad detector" if name == MANIFEST else "incomplete, copy it again"
        raise ArtifactError(f"{folder}: {name} is missing: {what}")
    if path.stat().st_size > limit:
        raise ArtifactError(f"{path}: larger than the {limit} bytes allowed")
    return path.read_bytes()


def _zip_member(archive: zipfile.ZipFile, path: Path, name: str, limit: int) -> bytes:
    try:
        with archive.open(name) as file:
            content = file.read(limit + 1)
    except KeyError:
        raise ArtifactError(f"{path}: {name} is missing from the zip: not a daad detector, or incomplete") from None
    except Exception as error:  # zlib.error, EOFError, LZMAError, BadZipFile, RuntimeError where encrypted, and more
        reason = str(error) or type(error).__name__
        raise ArtifactError(f"{path}: the zip is damaged at {name} ({reason}); copy it again") from None
    if len(content) > limit:
        raise ArtifactError(f"{path}: {name} is larger than the {limit} bytes allowed")
    return content
