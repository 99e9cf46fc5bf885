"""Boxes as COCO JSON: what labelling tools open, and what `read_boxes` reads back."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daad.errors import DataError

DESCRIPTION = "boxes found by daad"


@dataclass(frozen=True, slots=True)
class CocoBox:
    """(left, top, right, bottom) in pixels, the name of its class, and a score where it was not drawn by a person."""

    box: tuple[float, float, float, float]
    label: str
    score: float | None = None


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image by the name that it goes by, its size (height, width), and its boxes; none is a legal negative."""

    name: str
    size: tuple[int, int]
    boxes: Sequence[CocoBox]


def coco_body(images: Sequence[CocoImage], classes: Sequence[str]) -> dict[str, Any]:
    """The COCO form: ids count from 1, a box is [left, top, width, height]. Raises KeyError for an unknown class."""
    ids = {name: place for place, name in enumerate(classes, start=1)}
    annotations: list[dict[str, Any]] = []
    for place, image in enumerate(images, start=1):
        for each in image.boxes:
            left, top, right, bottom = each.box
            width, height = right - left, bottom - top
            score = {} if each.score is None else {"score": each.score}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": place,
                    "category_id": ids[each.label],
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    **score,
                }
            )
    return {
        "info": {"description": DESCRIPTION},
        "images": [
            {"id": place, "file_name": image.name, "height": image.size[0], "width": image.size[1]}
            for place, image in enumerate(images, start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": place, "name": name} for name, place in ids.items()],
    }


def write_coco(path: Path, images: Sequence[CocoImage], classes: Sequence[str]) -> None:
    """Write the COCO form to `path`, whole or not at all. Raises DataError where it cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(coco_body(images, classes), allow_nan=False), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from None
