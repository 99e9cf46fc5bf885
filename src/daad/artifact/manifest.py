"""What a saved detector says of itself: one JSON file that a person can read and a program can check."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from daad.data.preprocess import Preprocess
from daad.errors import ArtifactError
from daad.scoring.box_reference import BoxReference
from daad.scoring.calibration import Calibration
from daad.scoring.confidence import Confidence

SCHEMA = 2
READ_BY = {1: "daad 0.1"}  # which version reads older schemas
MAX_MANIFEST_BYTES = 64 * 2**20
KINDS = {  # what a saved thing is, and which command reads it
    "daad-detector": "a detector of anomalies, for daad predict",
    "daad-box-detector": "a detector of boxes, for daad boxes",
}


class FileEntry(BaseModel):
    """One file of the artifact: its size and its hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str


class AnyManifest(BaseModel):
    """The whole of something learnt but its weights.

    `config` rebuilds the model, `preprocess` is executed as data, `provenance` says what it was made from (seed,
    versions, machine, data fingerprint), `files` covers every other file.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: str
    schema_version: int = SCHEMA
    model: str
    config: dict[str, Any]
    preprocess: Preprocess
    provenance: dict[str, Any]
    files: dict[str, FileEntry]

    def to_json(self) -> bytes:
        """Readable JSON that carries a hash of itself."""
        body = self.model_dump(mode="json")
        return json.dumps({**body, "manifest_sha256": _digest(body)}, indent=2, allow_nan=False).encode()


class Manifest(AnyManifest):
    """A detector of anomalies; `calibration` holds the held-out scores."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["daad-detector"] = "daad-detector"
    calibration: Calibration


class BoxManifest(AnyManifest):
    """A detector of boxes; `confidence` is the threshold of its scores and what it was worth on held-out images;
    `reference` is what evaluations hold it against."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["daad-box-detector"] = "daad-box-detector"
    confidence: Confidence
    reference: BoxReference


M = TypeVar("M", bound=AnyManifest)


def is_manifest(content: bytes) -> bool:
    """Whether this is the manifest of a detector, whole or not: what may be replaced by a new one."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and body.get("kind") in KINDS


def parse_manifest(content: bytes, where: str, form: type[M]) -> M:
    """Read and check a manifest of a form; ArtifactError says whether it is foreign, of the other form, too new,
    damaged or altered."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise ArtifactError(f"{where}: manifest.json is not valid JSON; copy the detector again") from None
    if not isinstance(body, dict) or body.get("kind") not in KINDS:
        raise ArtifactError(f"{where}: manifest.json is not that of a daad detector; make one with 'daad fit'")
    if body["kind"] != form.model_fields["kind"].get_default() and form is not AnyManifest:
        raise ArtifactError(f"{where}: is {KINDS[body['kind']]}")
    if body.get("schema_version") != SCHEMA:
        raise ArtifactError(f"{where}: {_of_another_schema(body.get('schema_version'))}")
    if body.pop("manifest_sha256", None) != _digest(body):
        raise ArtifactError(f"{where}: manifest.json was changed after it was saved (its hash does not match)")
    try:
        return form.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ArtifactError(f"{where}: manifest.json: {place}: {first['msg']}") from None


def _of_another_schema(version: Any) -> str:
    older = READ_BY.get(version) if isinstance(version, int) else None
    advice = f"{older} reads it; use that, or fit again" if older else "upgrade daad, or fit again"
    return f"schema version {version!r} is not the version {SCHEMA} that this daad reads; {advice}"


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
