"""What a saved detector says of itself: one JSON file that a person can read and a program can check."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from daad.data.preprocess import Preprocess
from daad.errors import ArtifactError
from daad.scoring.calibration import Calibration

SCHEMA = 1
KIND: Literal["daad-detector"] = "daad-detector"
MAX_MANIFEST_BYTES = 64 * 2**20


class FileEntry(BaseModel):
    """One file of the artifact: its size and its hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str


class Manifest(BaseModel):
    """The whole of a detector but its weights.

    `config` rebuilds the model, `preprocess` is executed as data, `calibration` holds the held-out scores, `provenance`
    says what it was made from (seed, versions, machine, data fingerprint), `files` covers every other file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["daad-detector"] = KIND
    schema_version: int = SCHEMA
    model: str
    config: dict[str, Any]
    preprocess: Preprocess
    calibration: Calibration
    provenance: dict[str, Any]
    files: dict[str, FileEntry]

    def to_json(self) -> bytes:
        """Readable JSON that carries a hash of itself."""
        body = self.model_dump(mode="json")
        return json.dumps({**body, "manifest_sha256": _digest(body)}, indent=2, allow_nan=False).encode()


def is_manifest(content: bytes) -> bool:
    """Whether this is the manifest of a detector, whole or not: what may be replaced by a new one."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and body.get("kind") == KIND


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Read and check a manifest; ArtifactError says whether it is foreign, too new, damaged or altered."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise ArtifactError(f"{where}: manifest.json is not valid JSON; copy the detector again") from None
    if not isinstance(body, dict) or body.get("kind") != KIND:
        raise ArtifactError(f"{where}: manifest.json is not that of a daad detector; make one with 'daad fit'")
    if body.get("schema_version") != SCHEMA:
        raise ArtifactError(
            f"{where}: schema version {body.get('schema_version')!r} is not the version {SCHEMA} that this daad reads; "
            "upgrade daad, or fit again"
        )
    if body.pop("manifest_sha256", None) != _digest(body):
        raise ArtifactError(f"{where}: manifest.json was changed after it was saved (its hash does not match)")
    try:
        return Manifest.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ArtifactError(f"{where}: manifest.json: {place}: {first['msg']}") from None


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
