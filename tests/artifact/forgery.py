"""Saved detectors changed by hand, with hashes that fit or not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from daad.artifact.manifest import Manifest


def edit(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def resigned(folder: Path, **changes: object) -> None:
    """Change the manifest as somebody would who knows how its hash is made."""
    path = folder / "manifest.json"
    body = json.loads(path.read_text())
    body.pop("manifest_sha256")
    path.write_bytes(Manifest.model_validate({**body, **changes}).to_json())


def refiled(folder: Path, name: str, **changes: Any) -> None:
    """Change tensors of a file, or drop them with None, and sign it again."""
    tensors = {key: value for key, value in {**load_file(folder / name), **changes}.items() if value is not None}
    save_file(tensors, folder / name)
    content = (folder / name).read_bytes()
    files = json.loads((folder / "manifest.json").read_text())["files"]
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    resigned(folder, files={**files, name: entry})
