"""What a user calls scenes, as samples: paths, folders, arrays."""

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
    """One sample a scene, each of a name of its own, folders by name with all below them; a file given twice is one
    scene. Raises DataError for a path that is not there, and where there is no scene."""
    items = [scenes] if isinstance(scenes, str | bytes | Path | np.ndarray | Sample) else list(scenes)
    samples: list[Sample] = []
    for item in items:
        if isinstance(item, str | Path):
            samples += _of_path(item)
        else:
            samples.append(as_sample(item, len(samples)))
    if not samples:
        raise DataError("no scene was given; give files, folders or arrays")
    places = [sample.image.resolve() if isinstance(sample.image, Path) else i for i, sample in enumerate(samples)]
    first = dict(zip(reversed(places), reversed(samples), strict=True))
    return _named_apart([first[place] for place in dict.fromkeys(places)])


def _named_apart(samples: list[Sample]) -> list[Sample]:
    """Samples of equal names get a number."""
    seen: Counter[str] = Counter()
    found = []
    for sample in samples:
        seen[sample.name] += 1
        count = seen[sample.name]
        found.append(sample if count == 1 else replace(sample, name=f"{sample.name} ({count})"))
    return found


def _of_path(item: str | Path) -> list[Sample]:
    path = Path(item)
    if item == "" or not path.exists():
        raise DataError(f"{str(item) or 'an empty path'}: does not exist; give an image, or a folder of images")
    if not path.is_dir():
        return [Sample(path, printable(path))]
    folders = [path, *(each for each in path.rglob("*") if each.is_dir())]
    own = [folder for folder in folders if is_generated_folder(folder)]
    found = sorted(
        each
        for each in path.rglob("*")
        if each.suffix.lower() in EXTENSIONS
        and each.is_file()
        and not is_generated_picture(each)
        and not any(each.is_relative_to(folder) for folder in own)
    )
    if not found:
        raise DataError(f"{path}: holds no image ({', '.join(EXTENSIONS)}) beside what daad wrote itself")
    return [Sample(each, printable(each)) for each in found]
