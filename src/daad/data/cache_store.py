"""Storage of prepared images: images.npy beside index.json in a folder, or memory; and when it may be reused."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image

from daad.data.decode import decode
from daad.data.preprocess import Preprocess
from daad.data.sample import Failure, Sample
from daad.data.tiles import Window
from daad.errors import ImageError

VERSION = 2  # raise it when the same images give other pixels, or the files below change
Images = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class CacheIndex:
    """What the rows of a cache are: the index of the sample of every row and, of tiles, the (top, left) of every row;
    the samples that failed; the fingerprint of all rows."""

    sample_indices: list[int]
    corners: list[tuple[int, int]]
    failures: list[Failure]
    fingerprint: str


class MemoryStore:
    """Up to `count` prepared images in memory."""

    def __init__(self, count: int, preprocess: Preprocess) -> None:
        self._images = np.empty((count, *_shape(preprocess)), preprocess.dtype)
        self._count = 0

    def add(self, image: Images) -> None:
        self._images[self._count] = image
        self._count += 1

    def finish(self, index: CacheIndex) -> Images:
        images = self._images[: self._count]
        images.flags.writeable = False
        return images


class DiskStore:
    """Prepared images in a folder: written under a temporary name, and renamed, index last, when they are complete."""

    def __init__(self, folder: Path, key: str, preprocess: Preprocess) -> None:
        self._folder, self._key = folder, key
        self._shape, self._dtype = _shape(preprocess), np.dtype(preprocess.dtype)
        self._temporary = folder / f"images-{secrets.token_hex(8)}.tmp"
        self._file = self._temporary.open("xb")
        self._count = 0
        self._start = self._write_header()

    def _write_header(self) -> int:
        """Write the .npy header; NumPy pads it so that a growing count does not change its length."""
        self._file.seek(0)
        fields = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._count, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, fields)
        return self._file.tell()

    def add(self, image: Images) -> None:
        self._file.write(np.ascontiguousarray(image).data)
        self._count += 1

    def finish(self, index: CacheIndex) -> Images:
        assert self._write_header() == self._start
        self._file.close()
        target = self._folder / "images.npy"
        self._temporary.replace(target)
        content = {
            "key": self._key,
            "kept": index.sample_indices,
            "corners": index.corners,
            "failures": [[failure.name, failure.reason] for failure in index.failures],
            "fingerprint": index.fingerprint,
        }
        self._temporary.write_text(json.dumps(content), encoding="utf-8")
        self._temporary.replace(self._folder / "index.json")
        images: Images = np.load(target, mmap_mode="r", allow_pickle=False)
        return images

    def discard(self) -> None:
        """Remove the temporary file; after `finish` there is none."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


def load(folder: Path, key: str, samples: Sequence[Sample], preprocess: Preprocess) -> tuple[Images, CacheIndex] | None:
    """Open a cache on disk.

    Args:
        folder: of images.npy and index.json.
        key: what `cache_key` gives now.
        samples: the samples that the cache must be of.
        preprocess: gives shape and dtype of the images.

    Returns:
        The images (N, H, W, C), memory-mapped and read-only, and their index. None if there is no cache, it has another
        key, or it is damaged.
    """
    try:
        content = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        if content["key"] != key:
            return None
        images: Images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        sample_indices = [int(index) for index in content["kept"]]
        corners = [(int(top), int(left)) for top, left in content["corners"]]
        failures = [Failure(str(name), str(reason)) for name, reason in content["failures"]]
        if images.shape != (len(sample_indices), *_shape(preprocess)) or images.dtype != preprocess.dtype:
            return None
        digest = hashlib.sha256()
        for index, image in zip(sample_indices, images, strict=True):
            digest_image(digest, samples[index].name, image)
        if digest.hexdigest() != content["fingerprint"]:
            return None
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError):
        return None
    return images, CacheIndex(sample_indices, corners, failures, digest.hexdigest())


def digest_image(digest: hashlib._Hash, name: str, image: Images) -> None:
    """Add one image and its name to a data fingerprint; the same on machines of any byte order."""
    digest.update(f"{len(name)} {name} {image.dtype.name} {image.shape}".encode("utf-8", "surrogatepass"))
    digest.update(np.ascontiguousarray(image, image.dtype.newbyteorder("<")).data)


def cache_key(
    samples: Sequence[Sample],
    preprocess: Preprocess,
    windows: Sequence[Sequence[Window]] | None,
    max_no_data: float = 0.0,
) -> str:
    """A hash of all that the content of a cache depends on; a cache is reused where it is the same.

    Args:
        samples: name, path, size and time of change of files; content of images in memory.
        preprocess: applied to every image or tile.
        windows: the tiles of every sample; None for untiled images.
        max_no_data: the share without data from which a tile is left out.
    """
    extras = [
        importlib.util.find_spec(name) is not None for name in ("tifffile", "rasterio")
    ]  # with them, more files can be read
    tiles = windows and hashlib.sha256(json.dumps([windows, max_no_data]).encode()).hexdigest()
    parts = [VERSION, PIL.__version__, extras, preprocess.model_dump_json(), tiles, *map(source_key, samples)]
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()


def source_key(sample: Sample) -> list[Any]:
    """What identifies an image before it is decoded: path, size and time of a file, a hash of anything else."""
    source: Any = sample.image
    if isinstance(source, str | Path):
        path = os.path.abspath(source)  # noqa: PTH100 (Path.resolve would touch the disk for each link)
        try:
            status = Path(source).stat()
        except (OSError, ValueError):
            return [sample.name, path, None]
        return [sample.name, path, status.st_size, status.st_mtime_ns]
    if isinstance(source, bytes):
        return [sample.name, hashlib.sha256(source).hexdigest()]
    if isinstance(source, Image.Image):
        try:
            source = decode(source, name=sample.name)
        except ImageError as error:
            return [sample.name, str(error)]
    if not isinstance(source, np.ndarray):
        return [sample.name, type(source).__name__]  # no image: decoding fails
    array = np.ascontiguousarray(source)
    content = b"" if array.dtype.hasobject else array.tobytes()
    return [sample.name, array.dtype.str, array.shape, hashlib.sha256(content).hexdigest()]


def _shape(preprocess: Preprocess) -> tuple[int, int, int]:
    return preprocess.height, preprocess.width, preprocess.channels
