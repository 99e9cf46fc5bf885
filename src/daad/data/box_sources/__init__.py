"""Formats of boxes: COCO JSON, Pascal VOC XML, YOLO text, masks of an MVTec-style folder; one file each."""

from __future__ import annotations

from pathlib import Path

from daad.data.box_sources.annotations import AnnotationReader
from daad.data.box_sources.coco import coco_file, read_coco
from daad.data.box_sources.masks import read_masks
from daad.data.box_sources.voc import annotation_files, read_voc
from daad.data.box_sources.yolo import read_yolo
from daad.data.sample import Split
from daad.errors import DataError


def reader_for(path: Path, split: Split) -> AnnotationReader:
    """The reader of the format that a file or folder has. Raises DataError."""
    if path.is_file():
        if path.suffix.lower() == ".json":
            return read_coco
        raise DataError(f"{path}: is neither a COCO file (.json) nor a folder with images and boxes")
    if coco_file(path, split) is not None:
        return read_coco
    if (path / "labels").is_dir():
        return read_yolo
    if (path / "ground_truth").is_dir():
        return read_masks
    if any(annotation_files(path)):
        return read_voc
    raise DataError(
        f"{path}: holds no boxes that daad reads; expected {split}.json (COCO), images/ and labels/ (YOLO), test/ and "
        "ground_truth/ (masks), or .xml files (VOC)"
    )
