"""What a user calls scenes, as samples: paths, folders, arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from daad.data.decode import EXTENSIONS
from daad.data.layouts import as_sample
from daad.data.own import is_own_folder, is_own_picture
from daad.data.sample import Sample, printable
from daad.data.scenes import EXTENSIONS as SCENE_EXTENSIONS
from daad.errors import DataError

READ = {*EXTENSIONS, *SCENE_EXTENSIONS}


def scene_samples(scenes: Any) -> list[Sample]:
    """One sample a scene, folders by name with all below them. Raises DataError for a path that is not there, and where
    there is no scene."""
    items = [scenes] if isinstance(scenes, str | bytes | Path | np.ndarray | Sample) else list(scenes)
    samples: list[Sample] = []
    for item in items:
        if isinstance(item, str | Path):
            samples += _of_path(Path(item))
        else:
            samples.append(as_sample(item, len(samples)))
    if not samples:
        raise DataError("no scene was given; give files, folders or arrays")
    return samples


def _of_path(path: Path) -> list[Sample]:
    if not path.exists():
        raise DataError(f"{path}: does not exist; give an image, or a folder of images")
    if not path.is_dir():
        return [Sample(path, printable(path))]
    own = [folder for folder in path.rglob("*") if folder.is_dir() and is_own_folder(folder)]
    found = sorted(
        each
        for each in path.rglob("*")
        if each.suffix.lower() in READ
        and each.is_file()
        and not is_own_picture(each)
        and not any(each.is_relative_to(folder) for folder in own)
    )
    if not found:
        raise DataError(f"{path}: holds no image ({', '.join(sorted(READ))})")
    return [Sample(each, printable(each)) for each in found]
