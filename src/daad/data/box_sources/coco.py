"""COCO JSON: images, categories, annotations with bbox [left, top, width, height]."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from daad.data.box_sources.raw import SPLITS, Place, RawBoxes, Read, image_of, one_line, text_of
from daad.data.sample import Split, printable
from daad.errors import DataError


def coco_file(folder: Path, split: Split) -> Path | None:
    """The COCO file of a part: train.json, or instances_train*.json, in a folder or its annotations/."""
    named = [f"{name}.json" for name in SPLITS[split]] + [f"instances_{name}*.json" for name in SPLITS[split]]
    for each in (folder, folder / "annotations"):
        for pattern in named:
            for path in sorted(each.glob(pattern)):
                return path
    return None


def read_coco(at: Place) -> Read:
    """The images of a file in its order. An annotation that is not usable is left out with a note; what makes the whole
    file ambiguous is a DataError."""
    path = at.path if at.path.is_file() else coco_file(at.path, at.split)
    assert path is not None
    body = _body(path)
    classes = _classes(body["categories"], path)
    images = _images(body["images"], path, at.images)
    said: Counter[str] = Counter()
    for entry in body["annotations"]:
        problem = _take(entry, images, classes)
        if problem:
            said[problem] += 1
    notes = [f"{path}: {what}" + (f", {count} times" if count > 1 else "") for what, count in said.items()]
    return Read(list(images.values()), tuple(dict.fromkeys(classes.values())), notes)


def _body(path: Path) -> dict[str, list[Any]]:
    try:
        body = json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not valid JSON ({error})") from None
    for name in ("images", "categories", "annotations"):
        if not isinstance(body, dict) or not isinstance(body.get(name), list):
            raise DataError(f"{path}: is no COCO file of boxes: it has no list of {name}")
    found: dict[str, list[Any]] = body
    return found


def _classes(entries: list[Any], path: Path) -> dict[str, str]:
    """Names by id, the id as text: some tools write "1" in one place and 1 in another."""
    found: dict[str, str] = {}
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name.strip() or not _is_id(entry.get("id")):
            raise DataError(f"{path}: a category has no id and name: {one_line(repr(entry))}; give each a name")
        if found.setdefault(str(entry["id"]), printable(name)) != printable(name):
            raise DataError(f"{path}: category id {entry['id']} is given to {found[str(entry['id'])]!r} and {name!r}")
    return found


def _images(entries: list[Any], path: Path, given: Path | None) -> dict[str, RawBoxes]:
    found: dict[str, RawBoxes] = {}
    part = path.stem.removeprefix("instances_")
    for entry in entries:
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name or not _is_id(entry.get("id")):
            raise DataError(f"{path}: an image has no id and file_name: {one_line(repr(entry))}")
        if str(entry["id"]) in found:
            raise DataError(f"{path}: image id {entry['id']} is there twice, so its boxes cannot be told apart")
        size = (entry.get("height"), entry.get("width"))
        declared = size if all(isinstance(side, int) and side > 0 for side in size) else None
        image = image_of(path.parent, name, given, (part,))
        found[str(entry["id"])] = RawBoxes(image, printable(name), declared=declared)
    return found


def _take(entry: Any, images: dict[str, RawBoxes], classes: dict[str, str]) -> str | None:
    """Put a box to its image; what is wrong with it otherwise."""
    if not isinstance(entry, dict) or not _is_id(entry.get("image_id")) or not _is_id(entry.get("category_id")):
        return "an annotation without image_id and category_id"
    if entry.get("iscrowd"):
        return "an annotation of a crowd"
    raw, box = images.get(str(entry["image_id"])), entry.get("bbox")
    if raw is None:
        return "an annotation of an image that is not listed"
    if box is None:
        return "an annotation without bbox"
    try:
        if not isinstance(box, list) or any(isinstance(value, bool | str) for value in box):
            raise TypeError
        left, top, width, height = map(float, box)
    except (TypeError, ValueError, OverflowError):
        return f"an annotation whose bbox is not four numbers: {one_line(repr(box))}"
    raw.boxes.append((left, top, left + width, top + height))
    raw.names.append(classes.get(str(entry["category_id"]), f"category {entry['category_id']}"))
    return None


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)
