"""Write the files of a detector: a folder, or a zip of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save as dump_tensors

from daad.artifact.manifest import AnyManifest, FileEntry
from daad.artifact.place import GOLDEN, MANIFEST, WEIGHTS, check_replaceable, os_errors_named, resolved
from daad.artifact.read import sha256
from daad.artifact.replace import put_folder, put_zip

Arrays = Mapping[str, npt.NDArray[Any]]


def write_artifact(path: str | Path, manifest: AnyManifest, weights: Arrays, golden: Arrays) -> None:
    """Put a detector at `path`: a zip where it ends in .zip, else a folder. An old one is replaced only when the new
    one is whole. Raises ArtifactError where something else stands there, or where it cannot be written."""
    contents = {WEIGHTS: _dump(weights), GOLDEN: _dump(golden)}
    entries = {name: FileEntry(bytes=len(c), sha256=sha256(c)) for name, c in contents.items()}
    contents[MANIFEST] = manifest.model_copy(update={"files": entries}).to_json()
    place = resolved(path)
    check_replaceable(place)
    put = put_zip if place.suffix == ".zip" else put_folder
    with os_errors_named(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        put(place, contents)


def _dump(arrays: Arrays) -> bytes:
    return dump_tensors({name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()})
