"""Pictures of predictions on disk: names that are safe, and no picture of the user's own written over."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from daad.data.generated_files import PICTURE_KEY
from daad.scoring.heat import RGB, heat_map, overlay
from daad.scoring.prediction import Prediction


def save_pictures(
    folder: str | Path, prediction: Prediction, image: npt.NDArray[Any], map_threshold: float
) -> list[Path]:
    """Write `<name>_heat.png` and `<name>_overlay.png` for an image (H, W, C) and return their paths.

    Sub-folders in the name are kept inside `folder`, unsafe characters become `_`, and nothing is ever written outside
    of it. A picture made earlier for the same image is replaced; where the file belongs to anything else, a hash of
    the name is added. Without an anomaly map (the image was not judged) nothing is written.
    """
    if prediction.anomaly_map is None:
        return []
    pictures = {
        "heat": heat_map(prediction.anomaly_map, map_threshold),
        "overlay": overlay(image, prediction.anomaly_map, map_threshold),
    }
    return [save_picture(folder, prediction.name, kind, picture) for kind, picture in pictures.items()]


def save_picture(folder: str | Path, name: str, kind: str, picture: RGB) -> Path:
    """Write `<name>_<kind>.png` for the image of that name; see `save_pictures` for where it goes."""
    place = Path(folder).joinpath(*_safe_parts(name))
    place.parent.mkdir(parents=True, exist_ok=True)
    return _save(picture, place, kind, name.encode("utf-8", "replace").decode("utf-8"))


def own_picture(label: str) -> PngInfo:
    """What tells a picture that daad made, of the image of this name, from a user's own."""
    about = PngInfo()
    about.add_itxt(PICTURE_KEY, label)
    return about


def _safe_parts(name: str) -> list[str]:
    """Folders and stem of an image name, each harmless as a file name on any system."""
    *folders, last = re.split(r"[/\\]", name)
    stem = last.rpartition(".")[0] or last
    return [part for part in map(_safe, folders) if part] + [_safe(stem) or "image"]


def _safe(part: str) -> str:
    clean = re.sub(r"[^\w\-. ()\[\]+=@,]", "_", part).strip(". ")
    return clean.encode()[:120].decode(errors="ignore")


def _save(picture: RGB, place: Path, kind: str, label: str) -> Path:
    path = place.with_name(f"{place.name}_{kind}.png")
    if path.exists() and not _made_for(path, label):
        path = place.with_name(f"{place.name}_{hashlib.sha256(label.encode()).hexdigest()[:8]}_{kind}.png")
    Image.fromarray(picture).save(path, pnginfo=own_picture(label))
    return path


def _made_for(path: Path, label: str) -> bool:
    try:
        with Image.open(path, formats=["PNG"]) as earlier:
            return bool(earlier.info.get(PICTURE_KEY) == label)
    except OSError:
        return False
