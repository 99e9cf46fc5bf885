"""YOLO text: a file an image, a line a box, in shares of the image: class, centre x, centre y, width, height.

Lines of segmentation (class, then points) become the box around their points; a sixth number, a score, is passed over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from daad.data.box_sources.raw import SPLITS, Place, RawBoxes, Read, text_of
from daad.data.decode import probe
from daad.data.folders import images_below
from daad.data.sample import Sample, printable
from daad.errors import DataError, ImageError


def read_yolo(at: Place) -> Read:
    """The images of images/PART, or of images/ where it has no parts, with the labels of the same names."""
    place = at.path
    if at.images is not None:
        raise DataError(f"{place}: a YOLO folder has its images in images/; leave out --images")
    classes = _classes(place)
    folder = _part(place / "images", at)
    found = []
    labels = {path for path in (place / "labels" / folder).rglob("*.txt") if path.name != "classes.txt"}
    for image in sorted(images_below(place / "images" / folder)):
        inside = image.relative_to(place / "images")
        text = place / "labels" / inside.with_suffix(".txt")
        raw = RawBoxes(image, printable(inside))
        if text.exists():
            labels.discard(text)
            try:
                _take(raw, text, classes)
            except DataError as error:
                raw.problem = str(error)
        found.append(raw)
    notes = [f"{len(labels)} files of labels have no image, such as {min(labels)}"] if labels else []
    return Read(found, tuple(classes.values()), notes)


def _part(images: Path, at: Place) -> str:
    """The sub-folder of a part; none where images/ has no parts. Raises DataError where it has only others."""
    for name in SPLITS[at.split]:
        if (images / name).is_dir():
            return name
    others = [name for names in SPLITS.values() for name in names if (images / name).is_dir()]
    if others:
        raise DataError(f"{images}: has {', '.join(others)}, and nothing for {at.split}; add {SPLITS[at.split][0]}/")
    return "."


def _take(raw: RawBoxes, text: Path, classes: dict[int, str]) -> None:
    """Read the boxes of an image; DataError names file and line."""
    lines = [(number, line.split()) for number, line in enumerate(text_of(text).splitlines(), start=1)]
    height, width = _size(raw) if any(values for _, values in lines) else (0, 0)
    for number, values in lines:
        if not values:
            continue
        try:
            label, numbers = int(values[0]), [float(value) for value in values[1:]]
            left, top, right, bottom = _corners(numbers)
        except ValueError:
            shown = " ".join(values)[:60]
            raise DataError(f"{text}, line {number}: expected 'class x y width height', found {shown!r}") from None
        raw.boxes.append((left * width, top * height, right * width, bottom * height))
        raw.names.append(classes.get(label, f"class {label}"))


def _corners(numbers: list[float]) -> tuple[float, float, float, float]:
    if len(numbers) in (4, 5):
        x, y, w, h = numbers[:4]
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError("neither a box nor a polygon")
    across, down = numbers[::2], numbers[1::2]
    return min(across), min(down), max(across), max(down)


def _size(raw: RawBoxes) -> tuple[int, int]:
    """Height and width of an image; (0, 0) of one that cannot be read, which is told later."""
    try:
        info = probe(Sample(raw.image, raw.name))
    except ImageError:
        return 0, 0
    return info.height, info.width


def _classes(place: Path) -> dict[int, str]:
    """Names by id, in the order of ids."""
    for path in (*sorted(place.glob("*.yaml")), *sorted(place.glob("*.yml"))):
        try:
            body = yaml.safe_load(text_of(path))
        except (yaml.YAMLError, RecursionError):
            raise DataError(f"{path}: is not valid YAML") from None
        names: Any = body.get("names") if isinstance(body, dict) else None
        if names is None:
            continue
        if isinstance(names, list):
            names = dict(enumerate(names))
        return _checked(names, path)
    text = place / "classes.txt"
    if text.is_file():
        lines = text_of(text).rstrip().splitlines()
        return _checked(dict(enumerate(line.strip() for line in lines)), text)
    raise DataError(f"{place}: says nowhere what its classes are called; add classes.txt, a name a line, or data.yaml")


def _checked(names: Any, path: Path) -> dict[int, str]:
    try:
        found = {int(key): name for key, name in names.items()}
    except (AttributeError, TypeError, ValueError):
        raise DataError(f"{path}: names must be a list, or a mapping from ids to names") from None
    for key, name in found.items():
        if not isinstance(name, str | int | float) or isinstance(name, bool) or not str(name).strip():
            raise DataError(f"{path}: class {key} has no name; give every class one")
    return {key: printable(str(found[key])) for key in sorted(found)}
