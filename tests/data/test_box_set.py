"""Labelled boxes: every format gives the same boxes, and problems of single ones are noted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from daad import DataError
from daad.data.box_set import BoxSet, read_boxes

NAN = float("nan")
CATEGORY = '{"images": [], "annotations": [], "categories": [%s]}'
SIDE = (60, 80)  # height, width
BOXES = {"a": [(10, 20, 30, 40, "spot"), (0, 0, 5, 60, "line")], "b": [(70, 50, 80, 60, "spot")], "c": []}


def images(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in BOXES:
        Image.fromarray(np.full(SIDE, 99, np.uint8)).save(folder / f"{name}.png")


def coco(root: Path, extra: list[dict[str, Any]] | None = None) -> Path:
    images(root / "images")
    names = list(BOXES)
    annotations: list[dict[str, Any]] = [
        {"image_id": names.index(name), "category_id": 7 if kind == "spot" else 3, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for name, boxes in BOXES.items()
        for x0, y0, x1, y1, kind in boxes
    ]
    body = {
        "images": [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(names)],
        "annotations": annotations + (extra or []),
        "categories": [{"id": 7, "name": "spot"}, {"id": 3, "name": "line"}],
    }
    (root / "train.json").write_text(json.dumps(body))
    return root


def voc(root: Path) -> Path:
    images(root / "JPEGImages")
    (root / "Annotations").mkdir()
    for name, boxes in BOXES.items():
        objects = "".join(
            f"<object><name>{kind}</name><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax>"
            f"<ymax>{y1}</ymax></bndbox></object>"
            for x0, y0, x1, y1, kind in boxes
        )
        text = f"<annotation><filename>{name}.png</filename>{objects}</annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text)
    return root


def yolo(root: Path) -> Path:
    images(root / "images" / "train")
    (root / "labels" / "train").mkdir(parents=True)
    height, width = SIDE
    for name, boxes in list(BOXES.items())[:2]:  # c has no file: a negative
        lines = [
            f"{0 if kind == 'line' else 1} {(x0 + x1) / 2 / width} {(y0 + y1) / 2 / height} {(x1 - x0) / width} "
            f"{(y1 - y0) / height}\n"
            for x0, y0, x1, y1, kind in boxes
        ]
        (root / "labels" / "train" / f"{name}.txt").write_text("".join(lines))
    (root / "data.yaml").write_text("names: [line, spot]\n")
    return root


def masks(root: Path) -> Path:
    images(root / "train" / "good")
    for name, boxes in BOXES.items():
        kinds = sorted({box[4] for box in boxes}) or ["good"]
        kind = kinds[-1]
        images(root / "test" / kind)
        for other in set(BOXES) - {name}:
            path = root / "test" / kind / f"{other}.png"
            if not (root / "ground_truth" / kind / f"{other}_mask.png").exists() and kind != "good":
                path.unlink()
        if kind == "good":
            continue
        mask = np.zeros(SIDE, np.uint8)
        for x0, y0, x1, y1, _ in boxes:
            mask[y0:y1, x0:x1] = 255
        (root / "ground_truth" / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(root / "ground_truth" / kind / f"{name}_mask.png")
    return root


def as_sets(box_set: BoxSet) -> dict[str, set[tuple[Any, ...]]]:
    return {
        Path(sample.name).stem: {
            (*np.round(box, 6).tolist(), box_set.classes[label])
            for box, label in zip(sample.boxes, sample.labels.tolist(), strict=True)
        }
        for sample in box_set.samples
    }


@pytest.mark.parametrize("make", [coco, voc, yolo])
def test_every_format_gives_the_same_boxes(make: Any, tmp_path: Path) -> None:
    box_set = read_boxes(make(tmp_path), split="train")
    assert as_sets(box_set) == {name: set(boxes) for name, boxes in BOXES.items()}
    assert set(box_set.classes) == {"spot", "line"} and box_set.notes == []
    assert all(sample.image.is_file() for sample in box_set.samples)


def test_regions_of_masks_are_boxes_of_their_kind_of_defect(tmp_path: Path) -> None:
    box_sets = [read_boxes(masks(tmp_path), split="train"), read_boxes(tmp_path, split="test")]
    assert [box_set.classes for box_set in box_sets] == [("spot",)] * 2
    by_split = [{tuple(box) for sample in box_set.samples for box in sample.boxes.tolist()} for box_set in box_sets]
    assert set.union(*by_split) == {(10, 20, 30, 40), (0, 0, 5, 60), (70, 50, 80, 60)}
    assert all(any(not len(sample.boxes) for sample in box_set.samples) for box_set in box_sets)


def test_defects_are_split_by_kind_and_no_image_is_in_both_splits(tmp_path: Path) -> None:
    images(tmp_path / "train" / "good")
    for kind, count in (("dent", 10), ("hole", 4), ("one", 1)):
        for number in range(count):
            for folder, suffix in (("test", ""), ("ground_truth", "_mask")):
                path = tmp_path / folder / kind / f"{number:02d}{suffix}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full(SIDE, 9, np.uint8)).save(path)
    box_sets = [read_boxes(tmp_path, split=split) for split in ("train", "test")]
    train, test = ([sample for sample in box_set.samples if len(sample.boxes)] for box_set in box_sets)
    assert (len(train), len(test)) == (7 + 3 + 1, 3 + 1)
    assert not {sample.image for sample in train} & {sample.image for sample in test}
    assert [box_sets[0].classes[sample.labels[0]] for sample in test] == ["dent"] * 3 + ["hole"]
    assert [sample.image.name for sample in test] == ["07.png", "08.png", "09.png", "03.png"]


def test_an_unreadable_mask_fails_its_image_alone(tmp_path: Path) -> None:
    masks(tmp_path)
    (tmp_path / "ground_truth" / "spot" / "a_mask.png").write_bytes(b"broken")
    box_set = read_boxes(tmp_path, split="train")
    assert [failure.reason[:7] for failure in box_set.failures] == ["mask of"]
    assert len(box_set.samples) == 3


def test_images_may_be_in_another_folder_than_their_annotations(tmp_path: Path) -> None:
    (coco(tmp_path / "here") / "images").rename(tmp_path / "there")
    assert read_boxes(tmp_path / "here", split="train", images=tmp_path / "there").notes == []
    with pytest.raises(DataError, match="none of the 3 images can be used.*--images"):
        read_boxes(tmp_path / "here", split="train")
    with pytest.raises(DataError, match="is no folder of images"):
        read_boxes(tmp_path / "here", split="train", images=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("extra", "note"),
    [
        ({"image_id": 0, "category_id": 7, "bbox": [70, 50, 30, 30]}, "a.png: a box clipped to the image"),
        ({"image_id": 0, "category_id": 7, "bbox": [5, 5, 0, 9]}, "a.png: a box without area inside the image"),
        ({"image_id": 1, "category_id": 7, "bbox": [90, 5, 9, 9]}, "b.png: a box without area inside the image"),
        ({"image_id": 0, "category_id": 7, "bbox": [10, 20, 20, 20]}, "a.png: a box that was there already"),
        ({"image_id": 2, "category_id": 9, "bbox": [1, 1, 9, 9]}, "c.png: a box of the unknown class 'category 9'"),
        (
            {"image_id": 0, "category_id": 7, "bbox": [1, 1, 9, float("nan")]},
            "a.png: a box whose corners are no numbers",
        ),
    ],
)
def test_invalid_boxes_are_noted(extra: dict[str, Any], note: str, tmp_path: Path) -> None:
    box_set = read_boxes(coco(tmp_path, [extra]), split="train")
    assert box_set.notes == [note]
    for sample in box_set.samples:
        assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all() and sample.boxes.max(initial=0) <= 80


def test_known_classes_keep_their_order_and_others_are_noted(tmp_path: Path) -> None:
    box_set = read_boxes(coco(tmp_path), split="train", classes=["hole", "spot"])
    assert box_set.classes == ("hole", "spot") and box_set.notes == ["a.png: a box of the unknown class 'line'"]
    assert {label for sample in box_set.samples for label in sample.labels.tolist()} == {1}


def test_an_image_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    (coco(tmp_path) / "images" / "b.png").write_bytes(b"broken")
    box_set = read_boxes(tmp_path, split="train")
    assert [sample.name for sample in box_set.samples] == ["a.png", "c.png"]
    assert [failure.name for failure in box_set.failures] == ["b.png"]


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("train.json", "{", "is not valid JSON"),
        ("train.json", "[]", "is no COCO file of boxes"),
        ("train.json", '{"images": [], "annotations": [], "categories": []}', "no image of the train part"),
        ("x.xml", "<a><b></a>", "is no Pascal VOC annotation"),
        ("x.xml", '<!DOCTYPE x [<!ENTITY a "b">]><a/>', "declares entities"),
        ("train.json", '{"images": [], "annotations": []}', "has no list of categories"),
        ("train.json", CATEGORY % '{"id": 1}', "a category has no id and name"),
        ("train.json", CATEGORY % '{"id": 1, "name": "a"}, {"id": 1, "name": "b"}', "given to 'a' and 'b'"),
        ("labels/x.txt", "1 2", "says nowhere what its classes are called"),
        ("x.txt", "", "holds no boxes that daad reads"),
    ],
)
def test_what_is_no_data_set_of_boxes_is_refused(name: str, content: str, match: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=match):
        read_boxes(tmp_path, split="train")


def test_a_bad_line_of_yolo_is_named(tmp_path: Path) -> None:
    (yolo(tmp_path) / "labels" / "train" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n0 0.5 what\n")
    box_set = read_boxes(tmp_path, split="train")
    assert "a.txt, line 2: expected 'class x y width height', found '0 0.5 what'" in box_set.failures[0].reason
    assert len(box_set.samples) == 2


def test_ids_of_yolo_are_those_that_data_yaml_gives(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "data.yaml").write_text("names: {1: spot, 0: line, 10: ten, 2: two}\n")
    box_set = read_boxes(tmp_path, split="train")
    assert box_set.classes == ("line", "spot", "two", "ten")
    assert as_sets(box_set) == {name: set(boxes) for name, boxes in BOXES.items()}
    (tmp_path / "data.yaml").write_text("names: {1: spot}\n")
    assert "unknown class 'class 0'" in read_boxes(tmp_path, split="train").notes[0]


@pytest.mark.parametrize("names", ["{0: a, x: b}", "[a, null]", "{0: }", "7", "[" * 3000])
def test_invalid_class_names_are_refused(names: str, tmp_path: Path) -> None:
    (yolo(tmp_path) / "data.yaml").write_text(f"names: {names}\n")
    with pytest.raises(DataError, match="data.yaml"):
        read_boxes(tmp_path, split="train")


def test_polygons_of_yolo_become_boxes_and_scores_are_ignored(tmp_path: Path) -> None:
    (yolo(tmp_path) / "labels" / "train" / "a.txt").write_text(
        "1 .125 .5 .375 .5 .25 .75\n0 .5 .5 .1 .1 .9\n", encoding="utf-8"
    )
    boxes = {sample.name: sample.boxes.round(6).tolist() for sample in read_boxes(tmp_path, split="train").samples}
    assert boxes["train/a.png"] == [[10, 30, 30, 45], [36, 27, 44, 33]]


def test_a_missing_split_is_not_replaced_by_another(tmp_path: Path) -> None:
    yolo(tmp_path / "yolo")
    voc(tmp_path / "voc")
    lists = tmp_path / "voc" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "trainval.txt").write_text("a\nb\nz\n")
    box_set = read_boxes(tmp_path / "voc", split="train")
    assert len(box_set.samples) == 2 and "names of ImageSets have no annotation, such as z" in box_set.notes[0]
    for kind in ("yolo", "voc"):
        with pytest.raises(DataError, match="nothing for test"):
            read_boxes(tmp_path / kind, split="test")


def test_an_invalid_annotation_is_left_out_alone(tmp_path: Path) -> None:
    bad: list[Any] = [
        None,
        {"image_id": 0, "category_id": 7},
        {"image_id": 0, "category_id": 7, "bbox": [1, 2, 3]},
        {"image_id": 0, "category_id": 7, "bbox": "1234"},
        {"image_id": 0, "category_id": 7, "bbox": [1, 2, 3, 10**400]},
        {"image_id": 99, "category_id": 7, "bbox": [1, 2, 3, 4]},
        {"image_id": 0, "category_id": 7, "bbox": [1, 2, 3, 4], "iscrowd": 1},
    ]
    box_set = read_boxes(coco(tmp_path, bad), split="train")
    assert as_sets(box_set) == {name: set(boxes) for name, boxes in BOXES.items()}
    assert len(box_set.notes) == len(bad)


def test_ids_may_be_text_and_names_not_utf8(tmp_path: Path) -> None:
    path = coco(tmp_path) / "train.json"
    body = json.loads(path.read_text())
    for entry in body["annotations"]:
        entry["category_id"] = str(entry["category_id"])
    body["categories"][0]["name"] = "\ud800 spot"
    path.write_text(json.dumps(body))
    box_set = read_boxes(tmp_path, split="train")
    assert box_set.classes == ("\\ud800 spot", "line") and sum(len(s.boxes) for s in box_set.samples) == 3


def test_an_image_that_is_listed_twice_is_one(tmp_path: Path) -> None:
    path = coco(tmp_path) / "train.json"
    body = json.loads(path.read_text())
    body["images"].append({"id": 9, "file_name": "./a.png"})
    body["annotations"].append({"image_id": 9, "category_id": 7, "bbox": [40, 40, 5, 5]})
    path.write_text(json.dumps(body))
    box_set = read_boxes(tmp_path, split="train")
    assert len(box_set.samples) == 3 and len(box_set.samples[0].boxes) == 3
    assert "there already" in box_set.notes[0]
    body["images"].append({"id": 9, "file_name": "b.png"})
    path.write_text(json.dumps(body))
    with pytest.raises(DataError, match="image id 9 is there twice"):
        read_boxes(tmp_path, split="train")


def test_boxes_declared_for_another_size_are_refused(tmp_path: Path) -> None:
    path = coco(tmp_path) / "train.json"
    body = json.loads(path.read_text())
    for entry, size in zip(body["images"], [(60, 80), (80, 60), (0, 0)], strict=True):
        entry["height"], entry["width"] = size
    path.write_text(json.dumps(body))
    box_set = read_boxes(tmp_path, split="train")
    assert [failure.name for failure in box_set.failures] == ["b.png"]
    assert "80x60 as it is decoded (upright), but its annotations are for 60x80" in box_set.failures[0].reason


def test_invalid_voc_files_are_left_out_alone(tmp_path: Path) -> None:
    folder = voc(tmp_path) / "Annotations"
    (folder / "._a.xml").write_bytes(b"\0\1")
    (folder / "bad.xml").write_text("<a><b></a>")
    (folder / "d.xml").mkdir()
    text = (folder / "b.xml").read_text()
    (folder / "b.xml").write_bytes(f'<?xml version="1.0" encoding="UTF-16"?>{text}'.encode("utf-16"))
    objects = "<object><name>x</name></object><object><bndbox/></object>"
    (folder / "c.xml").write_text(f"<annotation>{objects}</annotation>")  # names no image: c.png by its stem
    box_set = read_boxes(tmp_path, split="train")
    assert as_sets(box_set) == {name: set(boxes) for name, boxes in BOXES.items()}
    assert len(box_set.notes) == 3 and "bad.xml" in box_set.notes[0]


def test_empty_masks_fail_and_defects_without_a_mask_are_noted(tmp_path: Path) -> None:
    masks(tmp_path)
    save = tmp_path / "test" / "spot"
    Image.fromarray(np.full(SIDE, 9, np.uint8)).save(save / "unmarked.png")
    Image.fromarray(np.full(SIDE, 9, np.uint8)).save(save / "0empty.png")
    Image.fromarray(np.zeros(SIDE, np.uint8)).save(tmp_path / "ground_truth" / "spot" / "0empty_mask.png")
    box_set = read_boxes(tmp_path, split="train")
    assert [failure.name for failure in box_set.failures] == ["test/spot/0empty.png"]
    assert "1 images of defects have no mask" in box_set.notes[0]


def test_the_official_layout_of_coco_is_read(tmp_path: Path) -> None:
    (coco(tmp_path) / "annotations").mkdir()
    (tmp_path / "train.json").rename(tmp_path / "annotations" / "instances_train2017.json")
    (tmp_path / "images").rename(tmp_path / "train2017")
    assert len(read_boxes(tmp_path, split="train").samples) == 3


@pytest.mark.parametrize("data", [None, 7, ["a"], ""])
def test_what_is_no_path_is_refused(data: Any) -> None:
    with pytest.raises(DataError, match="expected the path"):
        read_boxes(data, split="train")


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.json").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="no regular file"):
        read_boxes(tmp_path, split="train")
    long = {"images": [{"id": 1, "file_name": "a" * 5000}], "annotations": [], "categories": [{"id": 1, "name": "x"}]}
    (tmp_path / "train.json").unlink()
    (tmp_path / "train.json").write_text(json.dumps(long))
    with pytest.raises(DataError, match="none of the 1 images can be used"):
        read_boxes(tmp_path, split="train")
