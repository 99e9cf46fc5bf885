"""Write and read the files of a detector: a folder, or a zip of it. No pickle; every byte is hashed."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as dump_tensors
from torch import Tensor

from daad.artifact.manifest import MAX_MANIFEST_BYTES, FileEntry, Manifest, parse_manifest
from daad.errors import ArtifactError

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
GOLDEN = "golden.safetensors"
MAX_FILE_BYTES = 8 * 2**30

Tensors = dict[str, Tensor]


def write_artifact(path: Path, manifest: Manifest, weights: Tensors, golden: Tensors) -> None:
    """Put a detector at `path`: a zip where it ends in .zip, else a folder. The old one is replaced only when the new
    one is whole; a folder that is not a detector is never replaced."""
    contents = {WEIGHTS: _dump(weights), GOLDEN: _dump(golden)}
    entries = {name: FileEntry(bytes=len(c), sha256=_sha256(c)) for name, c in contents.items()}
    contents[MANIFEST] = manifest.model_copy(update={"files": entries}).to_json()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.suffix == ".zip":
            _write_zip(temporary, contents)
            temporary.replace(path)
        else:
            check_replaceable(path)
            _write_folder(temporary, contents)
            _swap(temporary, path)
    finally:
        _remove(temporary)


def check_replaceable(path: Path) -> None:
    """Refuse a place where something other than a detector stands."""
    if path.suffix == ".zip" and path.is_dir():
        raise ArtifactError(f"{path}: is a folder, and a detector cannot be zipped into it; choose another name")
    if path.suffix == ".zip" or not path.exists():
        return
    if path.is_file() or (any(path.iterdir()) and not (path / MANIFEST).is_file()):
        raise ArtifactError(f"{path}: already exists and is not a daad detector; choose another place")


def read_artifact(path: Path) -> tuple[Manifest, Tensors, Tensors]:
    """Manifest, weights and golden sample of a detector, each file checked against its hash before it is parsed."""
    if not path.exists():
        raise ArtifactError(f"{path}: no such detector; make one with 'daad fit'")
    if path.is_file():
        if not zipfile.is_zipfile(path):
            raise ArtifactError(f"{path}: not a daad detector (neither a folder nor a whole zip of one)")
        try:
            with zipfile.ZipFile(path) as archive:
                return _read(str(path), lambda name, limit: _zip_member(archive, path, name, limit))
        except zipfile.BadZipFile as error:
            raise ArtifactError(f"{path}: the zip is damaged ({error}); copy it again") from None
    return _read(str(path), lambda name, limit: _folder_member(path, name, limit))


def _read(where: str, member: Callable[[str, int], bytes]) -> tuple[Manifest, Tensors, Tensors]:
    manifest = parse_manifest(member(MANIFEST, MAX_MANIFEST_BYTES), where)
    tensors = {}
    for name in (WEIGHTS, GOLDEN):
        entry = manifest.files.get(name)
        if entry is None or entry.bytes > MAX_FILE_BYTES:
            raise ArtifactError(f"{where}: manifest.json does not list a legal {name}")
        content = member(name, entry.bytes)
        if len(content) != entry.bytes or _sha256(content) != entry.sha256:
            raise ArtifactError(f"{where}: {name} is truncated or was changed after it was saved; copy it again")
        try:
            tensors[name] = parse_tensors(content)
        except SafetensorError as error:
            raise ArtifactError(f"{where}: {name} cannot be read ({error})") from None
    return manifest, tensors[WEIGHTS], tensors[GOLDEN]


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
    except (RuntimeError, NotImplementedError) as error:
        raise ArtifactError(f"{path}: {name} cannot be unpacked ({error})") from None
    if len(content) > limit:
        raise ArtifactError(f"{path}: {name} is larger than the {limit} bytes allowed")
    return content


def _write_folder(folder: Path, contents: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def _write_zip(path: Path, contents: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def _swap(new: Path, old: Path) -> None:
    """Replace one folder by another; should it be cut off between the two renames, the old one is still beside."""
    backup = old.with_name(f".{old.name}.{os.getpid()}.old")
    if old.exists():
        old.rename(backup)
    new.rename(old)
    _remove(backup)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _dump(tensors: Tensors) -> bytes:
    return dump_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
