"""The masks of an MVTec-style folder: every connected region is a box of its kind of defect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from daad.data.box_sources.raw import Place, RawBoxes, Read
from daad.data.decode import decode_mask, probe
from daad.data.layouts import read_layout
from daad.data.sample import Sample
from daad.errors import DataError, ImageError

LEARNT_SHARE = 0.7  # of the defects of each kind, by name: all of them lie in the test part


def read_masks(at: Place) -> Read:
    """Good images of the part are negatives. A defect that nobody marked is neither box nor negative, and is told."""
    if at.images is not None:
        raise DataError(f"{at.path}: an MVTec-style folder has its images in train/ and test/; leave out --images")
    good = [sample for sample in read_layout(at.path, split=at.split) if not sample.label]
    kinds: dict[str, list[Sample]] = {}
    bare = []
    for sample in read_layout(at.path, split="test"):
        if sample.label and sample.mask is not None:
            kinds.setdefault(sample.defect or "defect", []).append(sample)
        elif sample.label:
            bare.append(sample.name)
    found = [RawBoxes(_path(sample), sample.name) for sample in good]
    for kind in sorted(kinds):
        odd = sorted(kinds[kind], key=lambda sample: sample.name)
        learnt = max(1, round(LEARNT_SHARE * len(odd)))
        found += [_marked(sample, kind) for sample in (odd[:learnt] if at.split == "train" else odd[learnt:])]
    notes = [f"{len(bare)} images of defects have no mask and are left out, such as {bare[0]}"] if bare else []
    return Read(found, tuple(sorted(kinds)), notes)


def _marked(sample: Sample, kind: str) -> RawBoxes:
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
    if not raw.boxes:
        raw.problem = f"mask of {sample.name}: marks nothing, though the image is one of a defect; mark it or remove it"
    return raw


def _path(sample: Sample) -> Path:
    assert isinstance(sample.image, Path)  # a folder's images are files
    return sample.image
