"""Labelled boxes: COCO JSON, Pascal VOC XML, YOLO text, and the masks of an MVTec-style folder turned into boxes.

Whatever the source, a box is (left, top, right, bottom) in pixels of the image, right and bottom exclusive. What is
wrong with single annotations is told, never silently mended: see `BoxSet.notes`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import yaml

from daad.data.decode import decode_mask, is_image_path, probe
from daad.data.layouts import read_layout
from daad.data.sample import Sample, Split, printable
from daad.errors import DataError, ImageError

MAX_TEXT_BYTES = 2**30
CLIPPED = 1.0  # pixels outside from which clipping is worth a note
FOLDERS_OF_IMAGES = ("JPEGImages", "images", ".")
SPLITS = {"train": ("train", "trainval"), "test": ("test", "val", "valid")}


@dataclass(frozen=True)
class BoxSample:
    """An image with its boxes (N, 4) float64 and their classes (N,), places in `BoxSet.classes`; N may be 0."""

    image: Path
    name: str
    boxes: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class BoxSet:
    """Images with boxes. `notes` says what was left out or changed, image by image."""

    samples: list[BoxSample]
    classes: tuple[str, ...]
    notes: list[str]


@dataclass
class _Raw:
    """An image as a file of annotations speaks of it: boxes with the names of their classes."""

    image: Path
    name: str
    boxes: list[tuple[float, float, float, float]]
    names: list[str]


def read_boxes(data: str | Path, *, split: Split, classes: Sequence[str] | None = None) -> BoxSet:
    """Read a data set of boxes: a COCO file, or a folder with COCO files (train.json, test.json), a folder of VOC XML,
    a YOLO folder (images, labels, data.yaml or classes.txt), or an MVTec-style folder with masks.

    `classes` are those a detector knows already, in its order; by default all that occur, in the source's order or by
    name. Boxes are clipped to their image; those without area, twice the same, or of an unknown class are left out,
    each with a note. An image without boxes is a legal negative. Raises DataError.
    """
    place = Path(data)
    if not place.exists():
        raise DataError(f"{place}: does not exist; give a COCO file, or a folder with images and boxes")
    found, known = _reader(place, split)(place, split)
    if not found:
        raise DataError(f"{place}: no image of the {split} part is named there; check its annotations")
    return _checked(found, tuple(classes) if classes is not None else known)


def _reader(place: Path, split: Split) -> Any:
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


def _coco(place: Path, split: Split) -> tuple[list[_Raw], tuple[str, ...]]:
    path = place if place.is_file() else _coco_file(place, split)
    assert path is not None
    body = _json(path)
    try:
        classes = {entry["id"]: str(entry["name"]) for entry in body["categories"]}
        images = {
            entry["id"]: _Raw(_image(path.parent, str(entry["file_name"])), str(entry["file_name"]), [], [])
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


def _voc(place: Path, split: Split) -> tuple[list[_Raw], tuple[str, ...]]:
    listed = _listed(place, split)
    found = []
    for path in sorted(place.rglob("*.xml")):
        if listed is not None and path.stem not in listed:
            continue
        try:
            text = _text(path)
            if "<!DOCTYPE" in text or "<!ENTITY" in text:
                raise DataError(f"{path}: declares entities, which annotations need not; remove them")
            root = ElementTree.fromstring(text)
            base = path.parent.parent if path.parent.name == "Annotations" else path.parent
            name = root.findtext("filename") or f"{path.stem}.jpg"
            raw = _Raw(_image(base, name), name, [], [])
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


def _yolo(place: Path, split: Split) -> tuple[list[_Raw], tuple[str, ...]]:
    classes = _yolo_classes(place)
    parts = [name for name in SPLITS[split] if (place / "images" / name).is_dir()]
    folder = Path(parts[0]) if parts else Path()
    found = []
    for image in sorted(path for path in (place / "images" / folder).rglob("*") if is_image_path(path)):
        inside = image.relative_to(place / "images")
        raw = _Raw(image, printable(inside), [], [])
        text = place / "labels" / inside.with_suffix(".txt")
        lines = _text(text).splitlines() if text.is_file() else []
        info = _size(raw) if any(line.strip() for line in lines) else (0, 0)
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
            height, width = info
            raw.boxes.append(((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height))
            raw.names.append(classes[label] if 0 <= label < len(classes) else f"class {label}")
        found.append(raw)
    return found, classes


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


def _masks(place: Path, split: Split) -> tuple[list[_Raw], tuple[str, ...]]:
    """Every connected region of a mask is a box of its kind of defect; good images are negatives."""
    from scipy import ndimage

    found = []
    for sample in read_layout(place, split=split):
        assert isinstance(sample.image, Path)
        raw = _Raw(sample.image, sample.name, [], [])
        if sample.label and sample.mask is not None:
            info = probe(sample)
            mask = decode_mask(sample.mask, shape=(info.height, info.width), name=f"mask of {sample.name}")
            for rows, columns in ndimage.find_objects(ndimage.label(mask, structure=np.ones((3, 3)))[0]):
                raw.boxes.append((columns.start, rows.start, columns.stop, rows.stop))
                raw.names.append(sample.defect or "defect")
        elif sample.label:
            continue  # a defect that nobody marked is no negative
        found.append(raw)
    return found, tuple(sorted({name for raw in found for name in raw.names}))


def _checked(found: Iterable[_Raw], classes: tuple[str, ...]) -> BoxSet:
    """Boxes inside their images, of known classes, each once."""
    samples, notes = [], []
    for raw in found:
        try:
            height, width = _size(raw)
        except ImageError as error:
            notes.append(f"left out: {error}")
            continue
        kept: list[tuple[float, float, float, float]] = []
        labels: list[int] = []
        said: Counter[str] = Counter()
        for box, name in zip(raw.boxes, raw.names, strict=True):
            left, top, right, bottom = box
            inside = (max(0.0, left), max(0.0, top), min(float(width), right), min(float(height), bottom))
            if not all(map(math.isfinite, box)):
                said["a box whose corners are no numbers"] += 1
            elif name not in classes:
                said[f"a box of the unknown class {name!r}"] += 1
            elif inside[2] <= inside[0] or inside[3] <= inside[1]:
                said["a box without area inside the image"] += 1
            elif (inside, classes.index(name)) in zip(kept, labels, strict=True):
                said["a box that was there already"] += 1
            else:
                said["a box clipped to the image"] += max(map(abs, np.subtract(inside, box))) >= CLIPPED
                kept.append(inside)
                labels.append(classes.index(name))
        for what, count in said.items():
            if count:
                notes.append(f"{raw.name}: {what}" + (f", {count} times" if count > 1 else ""))
        boxes = np.array(kept, dtype=np.float64).reshape(-1, 4)
        samples.append(BoxSample(raw.image, raw.name, boxes, np.array(labels, dtype=np.int64)))
    if not samples:
        raise DataError(f"none of the images can be read; the first: {notes[0]}")
    return BoxSet(samples, classes, notes)


def _size(raw: _Raw) -> tuple[int, int]:
    info = probe(Sample(raw.image, raw.name))
    return info.height, info.width


def _image(base: Path, name: str) -> Path:
    """Where an image lies that annotations call by `name`: below the folder of the annotations, or of the data."""
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
