"""Labelled boxes: COCO JSON, Pascal VOC XML, YOLO text, and the masks of an MVTec-style folder turned into boxes.

Whatever the source, a box is (left, top, right, bottom) in pixels of the image, right and bottom exclusive. What is
wrong with single annotations is reported, never silently corrected: see `BoxSet.notes`.
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
from daad.data.box_sources.annotations import AnnotatedImage, AnnotationSource, counted_notes, one_line
from daad.data.sample import Failure, Sample, Split
from daad.data.scenes import probe_scene
from daad.errors import DataError, ImageError

CLIPPED = 1.0  # pixels outside the image from which clipping is worth a note


@dataclass(frozen=True)
class BoxSample:
    """An image of `size` (height, width) with its boxes (N, 4) float64 and their classes (N,), indices into
    `BoxSet.classes`; N may be 0."""

    image: Path
    name: str
    size: tuple[int, int]
    boxes: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class BoxSet:
    """Images with boxes. `notes` list the boxes that were left out or changed, by image; `failures` are the images that
    cannot be used."""

    samples: list[BoxSample]
    classes: tuple[str, ...]
    notes: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def of(self, classes: Sequence[str]) -> BoxSet:
        """The same with labels that are indices into `classes`; boxes of other classes are left out, with notes."""
        names = tuple(classes)
        if names == self.classes:
            return self
        new_label = np.array([names.index(name) if name in names else -1 for name in self.classes], dtype=np.int64)
        samples, notes = [], list(self.notes)
        for sample in self.samples:
            labels = new_label[sample.labels]
            for unknown in np.unique(sample.labels[labels < 0]):
                notes.append(f"{sample.name}: boxes of the unknown class {self.classes[unknown]!r}")
            samples.append(replace(sample, boxes=sample.boxes[labels >= 0], labels=labels[labels >= 0]))
        return BoxSet(samples, names, notes, self.failures)


def read_boxes(
    data: str | Path, *, split: Split, classes: Sequence[str] | None = None, images: str | Path | None = None
) -> BoxSet:
    """Read a data set of boxes.

    - COCO: a file, or a folder with train.json and test.json;
    - Pascal VOC: a folder of XML files;
    - YOLO: a folder with images/, labels/ and data.yaml or classes.txt;
    - masks: an MVTec-style folder. All its masks lie in the test split. Of each kind of defect, the first 70 % by name
      are in "train" here and the rest in "test".

    Boxes are clipped to their image. Boxes without area, duplicates and boxes of an unknown class are left out with a
    note. An image without boxes is a valid negative.

    Args:
        data: the path of the file or folder.
        split: "train" or "test".
        classes: class names that a detector knows already, in its order; by default all that occur, in the source's
            order or by name.
        images: the folder of the images of COCO or VOC annotations, if not beside them.

    Raises:
        DataError: no image can be used, or the annotations are ambiguous.
    """
    if not isinstance(data, str | Path) or not str(data):
        raise DataError(f"expected the path of a COCO file or of a folder with images and boxes, found {data!r}")
    path, image_folder = Path(data), None if images is None else Path(images)
    if not path.exists():
        raise DataError(f"{path}: does not exist; give a COCO file, or a folder with images and boxes")
    if image_folder is not None and not image_folder.is_dir():
        raise DataError(f"{image_folder}: is no folder of images")
    try:
        annotations = reader_for(path, split)(AnnotationSource(path, split, image_folder))
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from None
    if not annotations.images:
        first = f"; {annotations.notes[0]}" if annotations.notes else "; check its annotations"
        raise DataError(f"{path}: no image of the {split} part is named there{first}")
    class_names = tuple(classes) if classes is not None else tuple(dict.fromkeys(annotations.classes))
    box_set = BoxSet([], class_names, annotations.notes)
    for image in _merge_duplicates(annotations.images, box_set.notes):
        try:
            box_set.samples.append(_validated(image, class_names, box_set.notes))
        except ImageError as error:
            box_set.failures.append(Failure(image.name, str(error)))
    if not box_set.samples:
        first = box_set.failures[0].reason
        raise DataError(
            f"none of the {len(annotations.images)} images can be used; the first: {first} (if the images lie "
            "elsewhere, give their folder with --images)"
        )
    return box_set


def _merge_duplicates(images: Iterable[AnnotatedImage], notes: list[str]) -> Iterable[AnnotatedImage]:
    """Every image once: the boxes of one that is listed again are added to the first."""
    unique: dict[str, AnnotatedImage] = {}
    for image in images:
        first = unique.setdefault(os.path.normpath(image.path), image)
        if first is not image:
            first.boxes += image.boxes
            first.class_names += image.class_names
            notes.append(f"{one_line(image.name)}: an image that was there already; their boxes are put together")
    return unique.values()


def _validated(image: AnnotatedImage, classes: tuple[str, ...], notes: list[str]) -> BoxSample:
    """Boxes inside their image, of known classes, without repeats. Raises ImageError if the image cannot be used."""
    name = one_line(image.name)
    if image.problem is not None:
        raise ImageError(image.problem)
    info = probe_scene(Sample(image.path, name))
    size, declared = (info.height, info.width), image.declared_size
    if declared is not None and declared != size:
        raise ImageError(
            f"{name}: is {info.width}x{info.height} as it is decoded (upright), but its annotations are for "
            f"{declared[1]}x{declared[0]}, so that boxes would be misplaced: annotate it again, or turn it"
        )
    valid: dict[tuple[tuple[float, ...], int], None] = {}  # clipped box and label, in order
    problems: Counter[str] = Counter()
    for box, class_name in zip(image.boxes, image.class_names, strict=True):
        left, top, right, bottom = box
        clipped = (max(0.0, left), max(0.0, top), min(float(info.width), right), min(float(info.height), bottom))
        if not all(map(math.isfinite, box)):
            problems["a box whose corners are no numbers"] += 1
        elif class_name not in classes:
            problems[f"a box of the unknown class {one_line(class_name)!r}"] += 1
        elif clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
            problems["a box without area inside the image"] += 1
        elif (clipped, classes.index(class_name)) in valid:
            problems["a box that was there already"] += 1
        else:
            problems["a box clipped to the image"] += max(map(abs, np.subtract(clipped, box))) >= CLIPPED
            valid[clipped, classes.index(class_name)] = None
    notes += counted_notes(name, problems)
    boxes = np.array([box for box, _ in valid], dtype=np.float64).reshape(-1, 4)
    return BoxSample(image.path, image.name, size, boxes, np.array([label for _, label in valid], dtype=np.int64))
