"""Labelled boxes: COCO JSON, Pascal VOC XML, YOLO text, and the masks of an MVTec-style folder turned into boxes.

Whatever the source, a box is (left, top, right, bottom) in pixels of the image, right and bottom exclusive. What is
wrong with single annotations is told, never silently mended: see `BoxSet.notes`.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daad.data.box_sources import reader_for
from daad.data.box_sources.raw import Place, RawBoxes, one_line
from daad.data.sample import Failure, Sample, Split
from daad.data.scenes import probe_scene
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
    """Images with boxes. `notes` says which boxes were left out or changed, image by image; `failures` are the images
    that cannot be used."""

    samples: list[BoxSample]
    classes: tuple[str, ...]
    notes: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

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
        return BoxSet(samples, known, notes, self.failures)


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
    if not isinstance(data, str | Path) or not str(data):
        raise DataError(f"expected the path of a COCO file or of a folder with images and boxes, found {data!r}")
    place, folder = Path(data), None if images is None else Path(images)
    if not place.exists():
        raise DataError(f"{place}: does not exist; give a COCO file, or a folder with images and boxes")
    if folder is not None and not folder.is_dir():
        raise DataError(f"{folder}: is no folder of images")
    try:
        read = reader_for(place, split)(Place(place, split, folder))
    except OSError as error:
        raise DataError(f"{error.filename or place}: cannot be read ({error.strerror or error})") from None
    if not read.images:
        first = f"; {read.notes[0]}" if read.notes else "; check its annotations"
        raise DataError(f"{place}: no image of the {split} part is named there{first}")
    known = tuple(classes) if classes is not None else tuple(dict.fromkeys(read.classes))
    found = BoxSet([], known, read.notes)
    for raw in _once(read.images, found.notes):
        try:
            found.samples.append(_checked(raw, known, found.notes))
        except ImageError as error:
            found.failures.append(Failure(raw.name, str(error)))
    if not found.samples:
        first = found.failures[0].reason
        raise DataError(
            f"none of the {len(read.images)} images can be used; the first: {first} (if the images lie elsewhere, give "
            "their folder with --images)"
        )
    return found


def _once(images: Iterable[RawBoxes], notes: list[str]) -> Iterable[RawBoxes]:
    """Every image once: the boxes of one that is listed again are put to the first."""
    found: dict[str, RawBoxes] = {}
    for raw in images:
        first = found.setdefault(os.path.normpath(raw.image), raw)
        if first is not raw:
            first.boxes += raw.boxes
            first.names += raw.names
            notes.append(f"{one_line(raw.name)}: an image that was there already; their boxes are put together")
    return found.values()


def _checked(raw: RawBoxes, classes: tuple[str, ...], notes: list[str]) -> BoxSample:
    """Boxes inside their image, of known classes, each once. Raises ImageError for an image that cannot be used."""
    if raw.problem is not None:
        raise ImageError(raw.problem)
    info = probe_scene(Sample(raw.image, one_line(raw.name)))
    size = (info.height, info.width)
    if raw.declared is not None and raw.declared != size:
        raise ImageError(
            f"{one_line(raw.name)}: is {info.width}x{info.height} as it is decoded (upright), but its annotations are "
            f"for {raw.declared[1]}x{raw.declared[0]}, so that boxes would be misplaced: annotate it again, or turn it"
        )
    kept: dict[tuple[tuple[float, ...], int], None] = {}
    said: Counter[str] = Counter()
    for box, name in zip(raw.boxes, raw.names, strict=True):
        left, top, right, bottom = box
        inside = (max(0.0, left), max(0.0, top), min(float(info.width), right), min(float(info.height), bottom))
        if not all(map(math.isfinite, box)):
            said["a box whose corners are no numbers"] += 1
        elif name not in classes:
            said[f"a box of the unknown class {one_line(name)!r}"] += 1
        elif inside[2] <= inside[0] or inside[3] <= inside[1]:
            said["a box without area inside the image"] += 1
        elif (inside, classes.index(name)) in kept:
            said["a box that was there already"] += 1
        else:
            said["a box clipped to the image"] += max(map(abs, np.subtract(inside, box))) >= CLIPPED
            kept[inside, classes.index(name)] = None
    times = ((what, f", {count} times" if count > 1 else "") for what, count in said.items() if count)
    notes += [f"{one_line(raw.name)}: {what}{often}" for what, often in times]
    boxes = np.array([box for box, _ in kept], dtype=np.float64).reshape(-1, 4)
    return BoxSample(raw.image, raw.name, size, boxes, np.array([label for _, label in kept], dtype=np.int64))
