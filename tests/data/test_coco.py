"""Boxes that are written as COCO are read back unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from daad.data.box_set import read_boxes
from daad.data.coco import CocoBox, CocoImage, coco_body, write_coco
from tests.images import save_png, striped


def test_written_boxes_are_read_back(tmp_path: Path) -> None:
    for name in ("a/one.png", "two.png"):
        save_png(tmp_path / "photos" / name, striped(1, 40, 60, 1)[0])
    boxes = [CocoBox((1.5, 2, 11, 12), "spot", 0.25), CocoBox((30, 5, 40, 39.5), "line")]
    images = [CocoImage("a/one.png", (40, 60), boxes), CocoImage("two.png", (40, 60), [])]
    write_coco(tmp_path / "new" / "found.json", images, ["line", "spot"])
    box_set = read_boxes(tmp_path / "new" / "found.json", split="train", images=tmp_path / "photos")
    assert box_set.classes == ("line", "spot") and box_set.notes == []
    assert [sample.name for sample in box_set.samples] == ["a/one.png", "two.png"]
    np.testing.assert_array_equal(box_set.samples[0].boxes, [box.box for box in boxes])
    assert box_set.samples[0].labels.tolist() == [1, 0] and not len(box_set.samples[1].boxes)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["found.json"]


def test_the_form_is_coco() -> None:
    body = coco_body([CocoImage("a.png", (4, 6), [CocoBox((1, 1, 3, 4), "x", 0.5)])], ["x"])
    assert body["annotations"] == [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 3], "area": 6, "iscrowd": 0, "score": 0.5}
    ]
    assert body["images"] == [{"id": 1, "file_name": "a.png", "height": 4, "width": 6}]
    assert json.dumps(body)
    with pytest.raises(KeyError):
        coco_body([CocoImage("a.png", (4, 6), [CocoBox((1, 1, 3, 4), "y")])], ["x"])
