"""Loading what was damaged or forged: always an ArtifactError that names the place."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from daad import ArtifactError, Detector
from daad.artifact.manifest import Manifest
from daad.artifact.read import read_artifact
from tests.artifact.forgery import refiled, resigned

COMPRESSIONS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def zipped(folder: Path, place: Path, compression: int) -> bytes:
    with zipfile.ZipFile(place, "w", compression) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return place.read_bytes()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_damaged_zip_of_any_kind_is_told(saved: Path, tmp_path: Path, compression: int) -> None:
    place = tmp_path / "detector.zip"
    content = zipped(saved, place, compression)
    assert read_artifact(place, Manifest)[0].model == "ae"
    rng = random.Random(0)
    refused = 0
    for _ in range(150):
        position = rng.randrange(len(content))
        place.write_bytes(content[:position] + rng.randbytes(8) + content[position + 8 :])
        try:
            read_artifact(place, Manifest)  # a byte that nobody reads, such as a date, may change
        except ArtifactError as error:
            assert str(place) in str(error)
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("flags, method", [(1, 0), (0, 97), (0, 9)], ids=["encrypted", "unknown", "deflate64"])
def test_a_zip_that_python_cannot_unpack_is_told(saved: Path, tmp_path: Path, flags: int, method: int) -> None:
    place = tmp_path / "detector.zip"
    content = bytearray(zipped(saved, place, zipfile.ZIP_STORED))
    for header, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(header)
        while start >= 0:
            content[start + offset] |= flags
            content[start + offset + 2] = method
            start = content.find(header, start + 1)
    place.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{place}: the zip is damaged at manifest.json"):
        Detector.load(place)


GOLDEN: list[tuple[str, Any]] = [
    *((name, None) for name in ("image", "score", "anomaly_map")),
    ("score", torch.zeros(0)),
    ("score", torch.zeros(())),
    ("score", torch.zeros(1, dtype=torch.int32)),
    ("image", torch.zeros(0, 32, 32, 1, dtype=torch.int32)),
    ("image", torch.zeros(1, 32, 32, 3, dtype=torch.int32)),
    ("image", torch.zeros(1, 32, 32, 1)),
    ("anomaly_map", torch.zeros(1, 16, 16)),
]


@pytest.mark.parametrize(("name", "value"), GOLDEN)
def test_a_golden_sample_that_is_none_is_told(copy: Path, name: str, value: Any) -> None:
    refiled(copy, "golden.safetensors", **{name: value})
    with pytest.raises(ArtifactError, match=rf"{copy}: golden\.safetensors.*'{name}'"):
        Detector.load(copy)


def test_an_empty_golden_sample_is_told(copy: Path) -> None:
    empty = {key: value[:0] for key, value in load_file(copy / "golden.safetensors").items()}
    refiled(copy, "golden.safetensors", **empty)
    with pytest.raises(ArtifactError, match=r"golden\.safetensors: 'image'"):
        Detector.load(copy)


def test_sizes_beyond_any_memory_are_told(copy: Path) -> None:
    config = json.loads((copy / "manifest.json").read_text())["config"]
    resigned(copy, config={**config, "widths": [10**9] * 5})
    with pytest.raises(ArtifactError, match=f"{copy}: the model cannot be rebuilt"):
        Detector.load(copy)


@pytest.mark.parametrize(("name", "value"), [("height", 48), ("width", 16), ("channels", 3)])
@pytest.mark.parametrize("verify", [True, False])
def test_a_preprocessing_for_another_model_is_told(copy: Path, name: str, value: int, verify: bool) -> None:
    preprocess = json.loads((copy / "manifest.json").read_text())["preprocess"]
    resigned(copy, preprocess={**preprocess, name: value})
    with pytest.raises(ArtifactError, match=f"{copy}: .* preprocess gives {name} {value}, but .* takes"):
        Detector.load(copy, verify=verify)


def test_weights_that_are_not_numbers_are_told_with_the_place(copy: Path) -> None:
    weights = load_file(copy / "weights.safetensors")
    refiled(copy, "weights.safetensors", **{k: v * torch.nan for k, v in weights.items() if v.is_floating_point()})
    with pytest.raises(ArtifactError, match=f"{copy}: its golden sample cannot be scored: .*not finite"):
        Detector.load(copy)


def test_a_file_that_cannot_be_read_is_told(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ArtifactError, match=f"{copy}: the detector cannot be read there .Permission denied"):
        Detector.load(copy)


def test_an_older_schema_says_which_version_reads_it(copy: Path) -> None:
    resigned(copy, schema_version=1)
    with pytest.raises(ArtifactError, match=r"schema version 1 is not the version 2 .* daad 0.1 reads it"):
        Detector.load(copy)
