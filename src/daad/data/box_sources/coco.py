"""COCO JSON: images, categories, annotations with bbox [left, top, width, height]."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from daad.data.box_sources.annotations import (
    SPLIT_NAMES,
    AnnotatedImage,
    Annotations,
    AnnotationSource,
    counted_notes,
    image_path,
    one_line,
    read_text,
)
from daad.data.sample import Split, printable
from daad.errors import DataError


def coco_file(folder: Path, split: Split) -> Path | None:
    """The COCO file of a split: train.json, or instances_train*.json, in a folder or its annotations/."""
    patterns = [f"{name}.json" for name in SPLIT_NAMES[split]]
    patterns += [f"instances_{name}*.json" for name in SPLIT_NAMES[split]]
    for parent in (folder, folder / "annotations"):
        for pattern in patterns:
            for path in sorted(parent.glob(pattern)):
                return path
    return None


def read_coco(source: AnnotationSource) -> Annotations:
    """The images of a COCO file in its order.

    An annotation that cannot be used is left out with a note. Raises DataError for what makes the file ambiguous.
    """
    path = source.path if source.path.is_file() else coco_file(source.path, source.split)
    assert path is not None
    body = _body(path)
    classes = _classes(body["categories"], path)
    images = _images(body["images"], path, source.images)
    problems: Counter[str] = Counter()
    for annotation in body["annotations"]:
        problem = _add_box(annotation, images, classes)
        if problem:
            problems[problem] += 1
    return Annotations(list(images.values()), tuple(dict.fromkeys(classes.values())), counted_notes(path, problems))


def _body(path: Path) -> dict[str, list[Any]]:
    try:
        body = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not valid JSON ({error})") from None
    for name in ("images", "categories", "annotations"):
        if not isinstance(body, dict) or not isinstance(body.get(name), list):
            raise DataError(f"{path}: is no COCO file of boxes: it has no list of {name}")
    checked: dict[str, list[Any]] = body
    return checked


def _classes(categories: list[Any], path: Path) -> dict[str, str]:
    """Class names by id, the id as text: some tools write "1" in one list and 1 in another."""
    names: dict[str, str] = {}
    for category in categories:
        name = category.get("name") if isinstance(category, dict) else None
        if not isinstance(name, str) or not name.strip() or not _is_id(category.get("id")):
            raise DataError(f"{path}: a category has no id and name: {one_line(repr(category))}; give each a name")
        key = str(category["id"])
        if names.setdefault(key, printable(name)) != printable(name):
            raise DataError(f"{path}: category id {category['id']} is given to {names[key]!r} and {name!r}")
    return names


def _images(entries: list[Any], path: Path, folder: Path | None) -> dict[str, AnnotatedImage]:
    images: dict[str, AnnotatedImage] = {}
    split_folder = path.stem.removeprefix("instances_")
    for entry in entries:
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name or not _is_id(entry.get("id")):
            raise DataError(f"{path}: an image has no id and file_name: {one_line(repr(entry))}")
        key = str(entry["id"])
        if key in images:
            raise DataError(f"{path}: image id {entry['id']} is there twice, so its boxes cannot be told apart")
        size = (entry.get("height"), entry.get("width"))
        declared = size if all(isinstance(side, int) and side > 0 for side in size) else None
        image = image_path(path.parent, name, folder, (split_folder,))
        images[key] = AnnotatedImage(image, printable(name), declared_size=declared)
    return images


def _add_box(annotation: Any, images: dict[str, AnnotatedImage], classes: dict[str, str]) -> str | None:
    """Add an annotation's box to its image; returns why it cannot be used otherwise."""
    if not isinstance(annotation, dict) or not all(_is_id(annotation.get(key)) for key in ("image_id", "category_id")):
        return "an annotation without image_id and category_id"
    if annotation.get("iscrowd"):
        return "an annotation of a crowd"
    image, box = images.get(str(annotation["image_id"])), annotation.get("bbox")
    if image is None:
        return "an annotation of an image that is not listed"
    if box is None:
        return "an annotation without bbox"
    try:
        if not isinstance(box, list) or any(isinstance(value, bool | str) for value in box):
            raise TypeError
        left, top, width, height = map(float, box)
    except (TypeError, ValueError, OverflowError):
        return f"an annotation whose bbox is not four numbers: {one_line(repr(box))}"
    image.boxes.append((left, top, left + width, top + height))
    image.class_names.append(classes.get(str(annotation["category_id"]), f"category {annotation['category_id']}"))
    return None


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)
