"""Folder layouts: MVTec AD, sub-folders of good and bad images, or unlabelled images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NoReturn

from daad.data.decode import EXTENSIONS, is_image_path
from daad.data.generated_files import is_generated_folder, is_generated_picture
from daad.data.sample import Sample, Split, printable
from daad.errors import DataError

NORMAL_NAMES = ("good", "normal", "ok")  # folder names and manifest labels that mean normal
GROUND_TRUTH = "ground_truth"
_LAYOUT_NAMES = (*NORMAL_NAMES, "train", "test")  # folder names that belong to a labelled layout
_EXPECTED = "expected train/good/*.png for training, and test/good/*.png beside test/<defect>/*.png for testing"


def read_folder(root: Path, split: Split | None) -> list[Sample]:
    """List the images of a folder by the layout that it has, sorted by name. Raises DataError.

    Names are posix paths relative to `root`. Hidden files, `__MACOSX`, other files than images and what daad itself
    wrote (detectors, their `.run` folders, heat maps and overlays) are ignored.
    """
    folders = {path.name.lower(): path for path in reversed(_subfolders(root))}
    train, test, good = folders.get("train"), folders.get("test"), _normal_folder(root)
    if test or (train and _normal_folder(train)):
        samples = _mvtec(root, train, test, split)
    elif good and any(_holds_images(path) for path in folders.values() if path != good):
        samples = _labelled(root, split)
    else:
        samples = _unlabelled(root, split)
    if not samples:
        raise DataError(
            f"{root}: holds no image that daad reads ({', '.join(EXTENSIONS)}), or only what daad itself wrote; "
            f"{_EXPECTED}"
        )
    return sorted(samples, key=lambda sample: sample.name)


def _mvtec(root: Path, train: Path | None, test: Path | None, split: Split | None) -> list[Sample]:
    training = [_labelled_sample(root, train, path, "train", None) for path in images_below(train)] if train else []
    if split == "train":
        normal = [sample for sample in training if sample.label == 0]
        if not normal:
            raise DataError(
                f"{root}: has no images in train/good; {_EXPECTED}, or give the folder of good images itself"
            )
        return normal
    testing = _test_samples(root, test, root / GROUND_TRUTH) if test else []
    if split == "test" and not testing:
        raise DataError(f"{root}: has no images in test; {_EXPECTED}, or give the folder of images to test itself")
    return testing if split == "test" else training + testing


def _labelled(root: Path, split: Split | None) -> list[Sample]:
    if split == "train":
        good = _normal_folder(root)
        raise DataError(f"{root}: holds good and other images, which looks like test data; to train, give {good}")
    masks = root / GROUND_TRUTH
    if not masks.is_dir() and root.name.lower() == "test":
        masks = root.parent / GROUND_TRUTH
    return _test_samples(root, root, masks)


def _unlabelled(root: Path, split: Split | None) -> list[Sample]:
    good = _normal_folder(root)
    images = list(images_below(root))
    if split == "train":
        _check_all_are_good(root, images)
    samples = []
    for path in images:
        normal = split == "train" or (good is not None and path.is_relative_to(good))
        label, defect = (0, "good") if normal else (None, None)
        name = printable(path.relative_to(root))
        samples.append(Sample(path, name, label, split="train" if split == "train" else None, defect=defect))
    return samples


def _check_all_are_good(root: Path, images: list[Path]) -> None:
    """Refuse to train on a folder in which, further down, good images lie beside others: it is one level too high."""
    folders = {path: _layout_folder(path.relative_to(root)) for path in images}
    good = [path for path, folder in folders.items() if folder not in (None, "test")]
    other = [path for path, folder in folders.items() if folder in (None, "test")]
    if other and any(folders.values()):
        example = good[0].parent if good else "the folder of good images"
        raise DataError(
            f"{root}: which images are good cannot be told, such as {other[0].relative_to(root).as_posix()}: labelled "
            f"folders lie further down; to train, give one that holds good images alone, such as {example}"
        )


def _layout_folder(path: Path) -> str | None:
    """The first folder of a relative path whose name belongs to a labelled layout, in lower case."""
    return next((name.lower() for name in path.parts[:-1] if name.lower() in _LAYOUT_NAMES), None)


def _test_samples(root: Path, test: Path, ground_truth: Path) -> list[Sample]:
    masks = _masks(ground_truth)
    return [_labelled_sample(root, test, path, "test", masks) for path in images_below(test)]


def _labelled_sample(root: Path, folder: Path, path: Path, split: Split, masks: dict[str, Path] | None) -> Sample:
    """The sample of an image whose label is the name of its sub-folder of `folder`."""
    relative = PurePosixPath(path.relative_to(folder).as_posix())
    name = printable(path.relative_to(root))
    if len(relative.parts) == 1:  # beside the sub-folders: its label is unknown
        return Sample(path, name, split=split)
    if relative.parts[0].lower() in NORMAL_NAMES:
        return Sample(path, name, 0, split=split, defect="good")
    stem = relative.with_suffix("").as_posix()
    mask = (masks or {}).get(f"{stem}_mask") or (masks or {}).get(stem)
    return Sample(path, name, 1, mask=mask, split=split, defect=printable(relative.parts[0]))


def _masks(folder: Path) -> dict[str, Path]:
    """Mask files by `<defect>/<stem>`; a stem may end in _mask, and any extension will do."""
    if not folder.is_dir():
        return {}
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in images_below(folder, with_masks=True)}


def _normal_folder(folder: Path) -> Path | None:
    return next((path for path in _subfolders(folder) if path.name.lower() in NORMAL_NAMES), None)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if path.is_dir() and not _is_hidden(path.name) and not is_generated_folder(path)
        )
    except OSError as error:
        _raise_unlistable(error)


def _holds_images(folder: Path) -> bool:
    return folder.name.lower() != GROUND_TRUTH and any(True for _ in images_below(folder))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def images_below(root: Path, *, with_masks: bool = False) -> Iterator[Path]:
    """Image files below a folder, in a fixed order.

    Links to folders are followed, and every real folder is visited once, so that loops end. `ground_truth` folders are
    left out unless `with_masks`.
    """
    visited: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_raise_unlistable):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(
            name
            for name in folders
            if not _is_hidden(name)
            and (with_masks or name.lower() != GROUND_TRUTH)
            and not is_generated_folder(Path(folder, name))
        )
        images = (Path(folder, name) for name in sorted(files) if is_image_path(name) and not _is_hidden(name))
        yield from (path for path in images if not is_generated_picture(path))


def _raise_unlistable(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename}: cannot be listed ({error.strerror}); check the folder's permissions") from error
