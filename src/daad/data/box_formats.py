"""How boxes are written down: COCO JSON, Pascal VOC XML, YOLO text, masks of an MVTec-style folder.

Each reader gives the images of a part with their boxes as they stand there, unchecked, and the classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml

from daad.data.decode import decode_mask, is_image_path, probe
from daad.data.layouts import read_layout
from daad.data.sample import Sample, Split, printable
from daad.errors import DataError, ImageError

MAX_TEXT_BYTES = 2**30
FOLDERS_OF_IMAGES = ("JPEGImages", "images", ".")
SPLITS = {"train": ("train", "trainval"), "test": ("test", "val", "valid")}
LEARNT_SHARE = 0.7  # of the defects of a folder with masks, where all of them lie in its test part
Classes = tuple[str, ...]


@dataclass
class RawBoxes:
    """An image as its annotations speak of it: boxes (left, top, right, bottom) with the names of their classes, or the
    problem that forbids its use."""

    image: Path
    name: str
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    problem: str | None = None


@dataclass(frozen=True)
class Place:
    """What to read: a file or folder of annotations, a part of it, and where the images lie if not beside them."""

    path: Path
    split: Split
    images: Path | None = None


Reader = Callable[[Place], tuple[list[RawBoxes], Classes]]


def reader_for(place: Path, split: Split) -> Reader:
    """The reader of a data set, by what lies there. Raises DataError."""
    if place.is_file():
        if place.suffix.lower() == ".json":
            return _coco
        raise DataError(f"{place}: is neither a COCO file (.json) nor a folder with images and boxes")
    if _coco_file(place, split) is not None:
        return _coco
    if any(place.rglob("*.xml")):
        return _voc
    if (place / "labels").is_dir():
        return _yolo
    if (place / "ground_truth").is_dir():
        return _masks
    raise DataError(
        f"{place}: holds no boxes that daad reads; expected {split}.json (COCO), .xml files (VOC), images/ and labels/ "
        "(YOLO), or test/ and ground_truth/ (masks)"
    )


def _coco_file(folder: Path, split: Split) -> Path | None:
    named = [f"{name}.json" for name in SPLITS[split]] + [f"instances_{name}*.json" for name in SPLITS[split]]
    for each in (folder, folder / "annotations"):
        for pattern in named:
            for path in sorted(each.glob(pattern)):
                return path
    return None


def _coco(at: Place) -> tuple[list[RawBoxes], Classes]:
    path = at.path if at.path.is_file() else _coco_file(at.path, at.split)
    assert path is not None
    body = _json(path)
    try:
        classes = {entry["id"]: str(entry["name"]) for entry in body["categories"]}
        images = {
            entry["id"]: RawBoxes(_image(path.parent, str(entry["file_name"]), at.images), str(entry["file_name"]))
            for entry in body["images"]
        }
        for entry in body["annotations"]:
            if entry.get("iscrowd"):
                continue
            raw = images.get(entry["image_id"])
            if raw is None:
                raise DataError(f"{path}: annotation {entry.get('id')} is of an image that is not listed")
            left, top, width, height = (float(value) for value in entry["bbox"])
            raw.boxes.append((left, top, left + width, top + height))
            raw.names.append(classes.get(entry["category_id"], f"category {entry['category_id']}"))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: is no COCO file of boxes ({type(error).__name__}: {error})") from None
    return list(images.values()), tuple(classes.values())


def _voc(at: Place) -> tuple[list[RawBoxes], Classes]:
    listed = _listed(at.path, at.split)
    found = []
    for path in sorted(at.path.rglob("*.xml")):
        if listed is not None and path.stem not in listed:
            continue
        try:
            text = _text(path)
            if "<!DOCTYPE" in text or "<!ENTITY" in text:
                raise DataError(f"{path}: declares entities, which annotations need not; remove them")
            root = ElementTree.fromstring(text)
            base = path.parent.parent if path.parent.name == "Annotations" else path.parent
            name = root.findtext("filename") or f"{path.stem}.jpg"
            raw = RawBoxes(_image(base, name, at.images), name)
            for thing in root.iter("object"):
                box = thing.find("bndbox")
                if box is None:
                    raise ValueError("an object has no bndbox")
                sides = ("xmin", "ymin", "xmax", "ymax")
                left, top, right, bottom = (float(box.findtext(side) or "nan") for side in sides)
                raw.boxes.append((left - 1, top - 1, right, bottom))  # VOC counts from 1, inclusive
                raw.names.append((thing.findtext("name") or "").strip())
        except (ElementTree.ParseError, ValueError) as error:
            raise DataError(f"{path}: is no Pascal VOC annotation ({error})") from None
        found.append(raw)
    return found, tuple(sorted({name for raw in found for name in raw.names}))


def _listed(place: Path, split: Split) -> set[str] | None:
    """The stems that ImageSets/Main names for a split; None where it has no such list."""
    for name in SPLITS[split]:
        path = place / "ImageSets" / "Main" / f"{name}.txt"
        if path.is_file():
            return {line.split()[0] for line in _text(path).splitlines() if line.strip()}
    return None


def _yolo(at: Place) -> tuple[list[RawBoxes], Classes]:
    place, classes = at.path, _yolo_classes(at.path)
    parts = [name for name in SPLITS[at.split] if (place / "images" / name).is_dir()]
    folder = Path(parts[0]) if parts else Path()
    found = []
    for image in sorted(path for path in (place / "images" / folder).rglob("*") if is_image_path(path)):
        inside = image.relative_to(place / "images")
        raw = RawBoxes(image, printable(inside))
        text = place / "labels" / inside.with_suffix(".txt")
        lines = _text(text).splitlines() if text.is_file() else []
        height, width = _size(raw)
        for number, line in enumerate(lines, start=1):
            values = line.split()
            if not values:
                continue
            try:
                label, (x, y, w, h) = int(values[0]), (float(value) for value in values[1:5])
            except ValueError:
                raise DataError(
                    f"{text}, line {number}: expected 'class x y width height', found {line[:60]!r}"
                ) from None
            raw.boxes.append(((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height))
            raw.names.append(classes[label] if 0 <= label < len(classes) else f"class {label}")
        found.append(raw)
    return found, classes


def _size(raw: RawBoxes) -> tuple[int, int]:
    """Height and width of an image; (0, 0) of one that cannot be read, which is told later."""
    try:
        info = probe(Sample(raw.image, raw.name))
    except ImageError:
        return 0, 0
    return info.height, info.width


def _yolo_classes(place: Path) -> tuple[str, ...]:
    for path in (*sorted(place.glob("*.yaml")), *sorted(place.glob("*.yml"))):
        try:
            names = yaml.safe_load(_text(path)).get("names")
        except (yaml.YAMLError, AttributeError):
            continue
        if isinstance(names, dict):
            return tuple(str(names[key]) for key in sorted(names))
        if isinstance(names, list):
            return tuple(map(str, names))
    text = place / "classes.txt"
    if text.is_file():
        return tuple(line.strip() for line in _text(text).splitlines() if line.strip())
    raise DataError(f"{place}: says nowhere what its classes are called; add classes.txt, a name a line, or data.yaml")


def _masks(at: Place) -> tuple[list[RawBoxes], Classes]:
    """Every connected region of a mask is a box of its kind of defect; good images are negatives. A defect that nobody
    marked is neither."""
    good = [sample for sample in read_layout(at.path, split=at.split) if not sample.label]
    kinds: dict[str, list[Sample]] = {}
    for sample in read_layout(at.path, split="test"):
        if sample.label and sample.mask is not None:
            kinds.setdefault(sample.defect or "defect", []).append(sample)
    found = [RawBoxes(_path(sample), sample.name) for sample in good]
    for kind in sorted(kinds):
        odd = sorted(kinds[kind], key=lambda sample: sample.name)
        learnt = max(1, round(LEARNT_SHARE * len(odd)))
        found += [_marked(sample, kind) for sample in (odd[:learnt] if at.split == "train" else odd[learnt:])]
    return found, tuple(sorted(kinds))


def _marked(sample: Sample, kind: str) -> RawBoxes:
    from scipy import ndimage

    raw = RawBoxes(_path(sample), sample.name)
    assert sample.mask is not None
    try:
        info = probe(sample)
        mask = decode_mask(sample.mask, shape=(info.height, info.width), name=f"mask of {sample.name}")
    except ImageError as error:
        raw.problem = str(error)
        return raw
    for rows, columns in ndimage.find_objects(ndimage.label(mask, structure=np.ones((3, 3)))[0]):
        raw.boxes.append((columns.start, rows.start, columns.stop, rows.stop))
        raw.names.append(kind)
    return raw


def _path(sample: Sample) -> Path:
    assert isinstance(sample.image, Path)  # a folder's images are files
    return sample.image


def _image(base: Path, name: str, given: Path | None) -> Path:
    """Where an image lies that annotations call by `name`: below the folder given, that of the annotations, or of the
    data."""
    if given is not None:
        return given / name
    for root in (base, base.parent):
        for folder in FOLDERS_OF_IMAGES:
            path = root / folder / name
            if path.is_file():
                return path
    return base / name


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not valid JSON ({error})") from None


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise DataError(f"{path}: more than {MAX_TEXT_BYTES:,} bytes of annotations; split it")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
