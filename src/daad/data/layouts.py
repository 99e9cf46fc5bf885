"""From whatever a user calls "my images" to a list of Samples: a folder, a manifest, files, or images in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from daad.data.decode import is_image_path
from daad.data.folders import read_folder
from daad.data.manifest import MANIFEST_EXTENSIONS, read_manifest
from daad.data.sample import Sample, Split
from daad.errors import DataError

_WANTED = {"train": "a normal training image", "test": "a test image"}


def read_layout(data: Any, *, split: Split | None = None) -> list[Sample]:
    """List the samples of `data`, in an order that is always the same.

    `data` is one of:
    - a folder like MVTec AD: `train/good`, `test/<defect>`, `ground_truth/<defect>/<stem>_mask.png`;
    - a folder with `good` and other sub-folders: labelled test images;
    - any other folder: all images in it, of unknown label, or normal where `split` is "train";
    - a .csv or .parquet manifest (see `daad.data.manifest.read_manifest`);
    - one image or an iterable of images: paths, bytes, PIL images, arrays (H, W[, C]), Samples; or one array
      (N, H, W, C). Unknown labels count as normal where `split` is "train".

    `split` "train" gives the normal training images alone, "test" the test images, None everything. Folders are sorted
    by name; manifests and lists keep their order. Raises DataError if nothing usable is there.
    """
    if isinstance(data, str | Path):
        return _read_path(Path(data), split)
    samples = [as_sample(item, index) for index, item in enumerate(_items(data))]
    if not samples:
        raise DataError("the list of images is empty; give at least one image")
    return _of_split(samples, split)


def _read_path(path: Path, split: Split | None) -> list[Sample]:
    if path.is_dir():
        return read_folder(path, split)
    if not path.exists():
        raise DataError(f"{path}: does not exist; give a folder of images, an image, or a .csv or .parquet manifest")
    if path.suffix.lower() in MANIFEST_EXTENSIONS:
        return read_manifest(path, split)
    if is_image_path(path):
        return _of_split([Sample(image=path, name=path.name)], split)
    raise DataError(f"{path}: is neither a folder, an image, nor a manifest; give one of these (.csv, .parquet)")


def _items(data: Any) -> Iterable[Any]:
    if isinstance(data, np.ndarray):
        return list(data) if data.ndim == 4 else [data]
    if isinstance(data, bytes | bytearray | Image.Image | Sample):
        return [data]
    if isinstance(data, Iterable):
        return data
    raise DataError(
        f"{type(data).__name__} is not a source of images; give a folder, a manifest, an array (N, H, W, C), or a list "
        "of paths, arrays, bytes or PIL images"
    )


def as_sample(item: Any, index: int) -> Sample:
    """Name one item of a list: a path by itself, images in memory by place, a Sample is kept. Raises DataError."""
    if isinstance(item, Sample):
        return item
    if isinstance(item, str | Path):
        return Sample(image=Path(item), name=Path(item).as_posix())
    if isinstance(item, np.ndarray):
        return Sample(image=item, name=f"array[{index}]")
    if isinstance(item, bytes | bytearray):
        return Sample(image=bytes(item), name=f"bytes[{index}]")
    if isinstance(item, Image.Image):
        return Sample(image=item, name=f"image[{index}]")
    raise DataError(
        f"item {index} of the list is {type(item).__name__}, not an image; give paths, arrays, bytes or PIL images"
    )


def _of_split(samples: list[Sample], split: Split | None) -> list[Sample]:
    """Keep what a list says belongs to `split`; what it leaves open belongs to both, and counts as normal in train."""
    if split is None:
        return samples
    chosen = [sample for sample in samples if sample.split in (None, split)]
    if split == "train":
        chosen = [_as_normal(sample) for sample in chosen if sample.label in (None, 0)]
    if not chosen:
        raise DataError(f"none of the {len(samples)} samples is {_WANTED[split]}; check their labels and splits")
    return chosen


def _as_normal(sample: Sample) -> Sample:
    return replace(sample, label=0, split="train", defect=sample.defect or "good")
