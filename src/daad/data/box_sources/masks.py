"""The masks of an MVTec-style folder: every connected region is a box whose class is the kind of defect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from daad.data.box_sources.annotations import AnnotatedImage, Annotations, AnnotationSource
from daad.data.decode import decode_mask, probe
from daad.data.layouts import read_layout
from daad.data.sample import Sample
from daad.errors import DataError, ImageError

TRAIN_SHARE = 0.7  # of the images of each kind of defect, by name: all of them lie in the test split


def read_masks(source: AnnotationSource) -> Annotations:
    """The defects of a split with a box for each region, and its good images as negatives.

    A defect without a mask is left out with a note.
    """
    if source.images is not None:
        raise DataError(f"{source.path}: an MVTec-style folder has its images in train/ and test/; leave out --images")
    good = [sample for sample in read_layout(source.path, split=source.split) if not sample.label]
    by_defect: dict[str, list[Sample]] = {}
    unmarked = []
    for sample in read_layout(source.path, split="test"):
        if sample.label and sample.mask is not None:
            by_defect.setdefault(sample.defect or "defect", []).append(sample)
        elif sample.label:
            unmarked.append(sample.name)
    images = [AnnotatedImage(_path(sample), sample.name) for sample in good]
    for defect in sorted(by_defect):
        samples = sorted(by_defect[defect], key=lambda sample: sample.name)
        train_count = max(1, round(TRAIN_SHARE * len(samples)))
        chosen = samples[:train_count] if source.split == "train" else samples[train_count:]
        images += [_boxes_of_regions(sample, defect) for sample in chosen]
    notes = []
    if unmarked:
        notes.append(f"{len(unmarked)} images of defects have no mask and are left out, such as {unmarked[0]}")
    return Annotations(images, tuple(sorted(by_defect)), notes)


def _boxes_of_regions(sample: Sample, defect: str) -> AnnotatedImage:
    image = AnnotatedImage(_path(sample), sample.name)
    assert sample.mask is not None
    try:
        info = probe(sample)
        mask = decode_mask(sample.mask, shape=(info.height, info.width), name=f"mask of {sample.name}")
    except ImageError as error:
        image.problem = str(error)
        return image
    for rows, columns in ndimage.find_objects(ndimage.label(mask, structure=np.ones((3, 3)))[0]):
        image.boxes.append((columns.start, rows.start, columns.stop, rows.stop))
        image.class_names.append(defect)
    if not image.boxes:
        image.problem = (
            f"mask of {sample.name}: marks nothing, though the image is one of a defect; mark it or remove it"
        )
    return image


def _path(sample: Sample) -> Path:
    assert isinstance(sample.image, Path)  # a folder's images are files
    return sample.image
