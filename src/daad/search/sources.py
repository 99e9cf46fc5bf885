"""The scenes that a user gives, as samples: paths, folders, arrays."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from daad.data.decode import EXTENSIONS
from daad.data.generated_files import is_generated_folder, is_generated_picture
from daad.data.layouts import as_sample
from daad.data.sample import Sample, printable
from daad.errors import DataError


def scene_samples(scenes: Any) -> list[Sample]:
    """One sample for each scene, with unique names; a file given twice is one scene.

    The images of a folder and of its sub-folders come in the order of their names. Raises DataError for a path that is
    not there, and where there is no scene.
    """
    items = [scenes] if isinstance(scenes, str | bytes | Path | np.ndarray | Sample) else list(scenes)
    samples: list[Sample] = []
    for item in items:
        if isinstance(item, str | Path):
            samples += _samples_at(item)
        else:
            samples.append(as_sample(item, len(samples)))
    if not samples:
        raise DataError("no scene was given; give files, folders or arrays")
    identities = [sample.image.resolve() if isinstance(sample.image, Path) else i for i, sample in enumerate(samples)]
    first = dict(zip(reversed(identities), reversed(samples), strict=True))
    return _with_unique_names([first[identity] for identity in dict.fromkeys(identities)])


def _with_unique_names(samples: list[Sample]) -> list[Sample]:
    """Samples of equal names get a number."""
    counts: Counter[str] = Counter()
    renamed = []
    for sample in samples:
        counts[sample.name] += 1
        count = counts[sample.name]
        renamed.append(sample if count == 1 else replace(sample, name=f"{sample.name} ({count})"))
    return renamed


def _samples_at(item: str | Path) -> list[Sample]:
    path = Path(item)
    if item == "" or not path.exists():
        raise DataError(f"{str(item) or 'an empty path'}: does not exist; give an image, or a folder of images")
    if not path.is_dir():
        return [Sample(path, printable(path))]
    folders = [path, *(entry for entry in path.rglob("*") if entry.is_dir())]
    generated = [folder for folder in folders if is_generated_folder(folder)]
    images = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in EXTENSIONS
        and file.is_file()
        and not is_generated_picture(file)
        and not any(file.is_relative_to(folder) for folder in generated)
    )
    if not images:
        raise DataError(f"{path}: holds no image ({', '.join(EXTENSIONS)}) beside what daad wrote itself")
    return [Sample(image, printable(image)) for image in images]
