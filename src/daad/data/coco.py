"""Write boxes as COCO JSON, which labelling tools open and `read_boxes` reads back."""

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
    """(left, top, right, bottom) in pixels, the name of its class, and a score unless a person drew it."""

    box: tuple[float, float, float, float]
    label: str
    score: float | None = None


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image's name, its size (height, width) in pixels, and its boxes; one without boxes is a valid negative."""

    name: str
    size: tuple[int, int]
    boxes: Sequence[CocoBox]


def coco_body(images: Sequence[CocoImage], classes: Sequence[str]) -> dict[str, Any]:
    """The COCO form: ids count from 1, a box is [left, top, width, height]. Raises KeyError for an unknown class."""
    category_ids = {name: category_id for category_id, name in enumerate(classes, start=1)}
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(images, start=1):
        for coco_box in image.boxes:
            left, top, right, bottom = coco_box.box
            width, height = right - left, bottom - top
            score = {} if coco_box.score is None else {"score": coco_box.score}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category_ids[coco_box.label],
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    **score,
                }
            )
    return {
        "info": {"description": DESCRIPTION},
        "images": [
            {"id": image_id, "file_name": image.name, "height": image.size[0], "width": image.size[1]}
            for image_id, image in enumerate(images, start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": category_id, "name": name} for name, category_id in category_ids.items()],
    }


def write_coco(path: Path, images: Sequence[CocoImage], classes: Sequence[str]) -> None:
    """Write the COCO form to `path` atomically. Raises DataError where it cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(coco_body(images, classes), allow_nan=False), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from None
