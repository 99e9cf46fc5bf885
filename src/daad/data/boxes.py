"""Labelled boxes: COCO JSON, Pascal VOC XML, YOLO text, and the masks of an MVTec-style folder turned into boxes.

Whatever the source, a box is (left, top, right, bottom) in pixels of the image, right and bottom exclusive. What is
wrong with single annotations is told, never silently mended: see `BoxSet.notes`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daad.data.box_formats import Place, RawBoxes, reader_for
from daad.data.decode import probe
from daad.data.sample import Sample, Split
from daad.errors import DataError, ImageError

CLIPPED = 1.0  # pixels outside from which clipping is worth a note


@dataclass(frozen=True)
class BoxSample:
    """An image of `size` (height, width) with its boxes (N, 4) float64 and their classes (N,), places in
    `BoxSet.classes`; N may be 0."""

    image: Path
    name: str
    size: tuple[int, int]
    boxes: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class BoxSet:
    """Images with boxes. `notes` says what was left out or changed, image by image."""

    samples: list[BoxSample]
    classes: tuple[str, ...]
    notes: list[str]

    def of(self, classes: Sequence[str]) -> BoxSet:
        """The same with labels that are places in `classes`; boxes of other classes are left out, with a note each."""
        known = tuple(classes)
        if known == self.classes:
            return self
        place = np.array([known.index(name) if name in known else -1 for name in self.classes], dtype=np.int64)
        samples, notes = [], list(self.notes)
        for sample in self.samples:
            labels = place[sample.labels]
            for gone in np.unique(sample.labels[labels < 0]):
                notes.append(f"{sample.name}: boxes of the unknown class {self.classes[gone]!r}")
            samples.append(replace(sample, boxes=sample.boxes[labels >= 0], labels=labels[labels >= 0]))
        return BoxSet(samples, known, notes)


def read_boxes(
    data: str | Path, *, split: Split, classes: Sequence[str] | None = None, images: str | Path | None = None
) -> BoxSet:
    """Read a data set of boxes: a COCO file, or a folder with COCO files (train.json, test.json), a folder of VOC XML,
    a YOLO folder (images, labels, data.yaml or classes.txt), or an MVTec-style folder with masks.

    The masks of an MVTec-style folder all lie in its test part: of each kind of defect, the first 70 % by name belong
    to `train` here and the rest to `test`. `classes` are those a detector knows already, in its order; by default all
    that occur, in the source's order or by name. `images`: where the images of COCO or VOC annotations lie, if not
    beside them. Boxes are clipped to their image; those without area, twice the same, or of an unknown class are left
    out, each with a note. An image without boxes is a legal negative. Raises DataError.
    """
    place, folder = Path(data), None if images is None else Path(images)
    if not place.exists():
        raise DataError(f"{place}: does not exist; give a COCO file, or a folder with images and boxes")
    if folder is not None and not folder.is_dir():
        raise DataError(f"{folder}: is no folder of images")
    found, known = reader_for(place, split)(Place(place, split, folder))
    if not found:
        raise DataError(f"{place}: no image of the {split} part is named there; check its annotations")
    return _checked(found, tuple(classes) if classes is not None else tuple(dict.fromkeys(known)))


def _checked(found: Iterable[RawBoxes], classes: tuple[str, ...]) -> BoxSet:
    """Boxes inside their images, of known classes, each once."""
    samples, notes = [], []
    for raw in found:
        try:
            if raw.problem is not None:
                raise ImageError(raw.problem)
            info = probe(Sample(raw.image, raw.name))
        except ImageError as error:
            notes.append(f"left out: {error}")
            continue
        height, width = info.height, info.width
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
        samples.append(BoxSample(raw.image, raw.name, (height, width), boxes, np.array(labels, dtype=np.int64)))
    if not samples:
        raise DataError(f"none of the images can be read; the first: {notes[0]}")
    return BoxSet(samples, classes, notes)
