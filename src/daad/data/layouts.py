"""From whatever a user calls "my images" to a list of Samples: a folder, a manifest, files, or images in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from daad.data.decode import is_image_path
from daad.data.folders import read_folder
from daad.data.manifest import MANIFEST_EXTENSIONS, read_manifest
from daad.data.sample import Sample, Split, printable
from daad.data.sources import file_content, is_file
from daad.data.tensors import from_tensor, is_tensor
from daad.errors import DataError, ImageError

_WANTED = {"train": "a normal training image", "test": "a test image"}


def read_layout(data: Any, *, split: Split | None = None) -> list[Sample]:
    """List the samples of `data`, in an order that is always the same.

    `data` is one of:
    - a folder like MVTec AD: `train/good`, `test/<defect>`, `ground_truth/<defect>/<stem>_mask.png`;
    - a folder with `good` and other sub-folders: labelled test images;
    - any other folder: all images in it, of unknown label, or normal where `split` is "train";
    - a .csv or .parquet manifest (see `daad.data.manifest.read_manifest`);
    - one image or an iterable of images: paths, bytes, open binary files, PIL images, arrays (H, W[, C]), torch tensors
      (C, H, W), Samples; or one array (N, H, W, C) or tensor (N, C, H, W). Unknown labels count as normal where `split`
      is "train". An item that is no image, such as None, becomes a Sample that `decode` refuses.

    `split` "train" gives the normal training images alone, "test" the test images, None everything. Folders are sorted
    by name; manifests and lists keep their order. Raises DataError if nothing usable is there.
    """
    if isinstance(data, str) and not data.strip():
        raise DataError("the path is empty; give a folder of images, an image, or a manifest ('.' for this folder)")
    if isinstance(data, str | Path):
        return _read_path(Path(data), split)
    if is_tensor(data):
        data = _tensor_batch(data)
    if isinstance(data, np.ndarray) and data.ndim == 3 and split == "train":
        raise DataError(
            f"an array of shape {data.shape} is one image, and training needs several: give (N, H, W, C); an array of "
            "grey images needs a channel axis (N, H, W, 1)"
        )
    samples = [as_sample(item, index) for index, item in enumerate(_items(data))]
    if not samples:
        raise DataError("the list of images is empty; give at least one image")
    for sample in samples:
        if sample.label not in (0, 1, None):
            raise DataError(
                f"{sample.name}: label {sample.label!r} is unknown; use 0 for normal, 1 for anomalous, None if unknown"
            )
    return _of_split(samples, split)


def _read_path(path: Path, split: Split | None) -> list[Sample]:
    if path.is_dir():
        return read_folder(path, split)
    if not path.exists():
        raise DataError(f"{path}: does not exist; give a folder of images, an image, or a .csv or .parquet manifest")
    if path.suffix.lower() in MANIFEST_EXTENSIONS:
        return read_manifest(path, split)
    if is_image_path(path):
        return _of_split([Sample(image=path, name=printable(path.name))], split)
    raise DataError(f"{path}: is neither a folder, an image, nor a manifest; give one of these (.csv, .parquet)")


def _tensor_batch(tensor: Any) -> npt.NDArray[Any]:
    """DataError where it is no batch of images, nor one."""
    try:
        return from_tensor(tensor)
    except ImageError as error:
        raise DataError(str(error)) from None


def _items(data: Any) -> Iterable[Any]:
    if isinstance(data, np.ndarray):
        return list(data) if data.ndim == 4 else [data]
    if isinstance(data, bytes | bytearray | Image.Image | Sample) or is_file(data):
        return [data]
    if isinstance(data, Iterable):
        return data
    raise DataError(
        f"{type(data).__name__} is not a source of images; give a folder, a manifest, an array (N, H, W, C), or a list "
        "of paths, arrays, tensors, bytes or PIL images"
    )


def as_sample(item: Any, index: int) -> Sample:
    """Name one item of a list: a path by itself, all else by its place; a Sample is kept.

    What is no image is kept as well, for `decode` to refuse it by name: one bad item does not spoil a list.
    """
    if isinstance(item, Sample):
        return item
    if isinstance(item, Path) or (isinstance(item, str) and item):
        return Sample(image=Path(item), name=printable(Path(item)))
    if isinstance(item, np.ndarray) or is_tensor(item):
        return Sample(image=item, name=f"array[{index}]")
    if isinstance(item, bytes | bytearray):
        return Sample(image=bytes(item), name=f"bytes[{index}]")
    if isinstance(item, Image.Image):
        return Sample(image=item, name=f"image[{index}]")
    if is_file(item):
        return _of_file(item, f"bytes[{index}]")
    return Sample(image=item, name=f"item[{index}]")


def _of_file(file: Any, name: str) -> Sample:
    """What an open file holds now; the file itself where it cannot be read, for `decode` to say why."""
    try:
        return Sample(image=file_content(file, name), name=name)
    except ImageError:
        return Sample(image=file, name=name)


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
