"""YOLO text: a file an image, a line a box, in fractions of the image: class, centre x, centre y, width, height.

Lines of segmentation (class, then points) become the box around their points; a sixth number, a score, is ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from daad.data.box_sources.annotations import SPLIT_NAMES, AnnotatedImage, Annotations, AnnotationSource, read_text
from daad.data.decode import probe
from daad.data.folders import images_below
from daad.data.sample import Sample, printable
from daad.errors import DataError, ImageError


def read_yolo(source: AnnotationSource) -> Annotations:
    """The images of images/SPLIT, or of images/ where it has no splits, with the labels of the same names."""
    root = source.path
    if source.images is not None:
        raise DataError(f"{root}: a YOLO folder has its images in images/; leave out --images")
    classes = _read_classes(root)
    folder = _split_folder(root / "images", source)
    images = []
    unmatched = {path for path in (root / "labels" / folder).rglob("*.txt") if path.name != "classes.txt"}
    for path in sorted(images_below(root / "images" / folder)):
        relative = path.relative_to(root / "images")
        label_path = root / "labels" / relative.with_suffix(".txt")
        image = AnnotatedImage(path, printable(relative))
        if label_path.exists():
            unmatched.discard(label_path)
            try:
                _add_boxes(image, label_path, classes)
            except DataError as error:
                image.problem = str(error)
        images.append(image)
    notes = [f"{len(unmatched)} files of labels have no image, such as {min(unmatched)}"] if unmatched else []
    return Annotations(images, tuple(classes.values()), notes)


def _split_folder(images: Path, source: AnnotationSource) -> str:
    """The sub-folder of a split; "." where images/ has no splits. Raises DataError where it has only others."""
    names = SPLIT_NAMES[source.split]
    for name in names:
        if (images / name).is_dir():
            return name
    others = [name for names in SPLIT_NAMES.values() for name in names if (images / name).is_dir()]
    if others:
        raise DataError(f"{images}: has {', '.join(others)}, and nothing for {source.split}; add {names[0]}/")
    return "."


def _add_boxes(image: AnnotatedImage, path: Path, classes: dict[int, str]) -> None:
    """Read the boxes of an image from its file of labels. The DataError names file and line."""
    lines = [(number, line.split()) for number, line in enumerate(read_text(path).splitlines(), start=1)]
    height, width = _image_size(image) if any(values for _, values in lines) else (0, 0)
    for number, values in lines:
        if not values:
            continue
        try:
            label, numbers = int(values[0]), [float(value) for value in values[1:]]
            left, top, right, bottom = _corners(numbers)
        except ValueError:
            excerpt = " ".join(values)[:60]
            raise DataError(f"{path}, line {number}: expected 'class x y width height', found {excerpt!r}") from None
        image.boxes.append((left * width, top * height, right * width, bottom * height))
        image.class_names.append(classes.get(label, f"class {label}"))


def _corners(numbers: list[float]) -> tuple[float, float, float, float]:
    if len(numbers) in (4, 5):
        x, y, w, h = numbers[:4]
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError("neither a box nor a polygon")
    xs, ys = numbers[::2], numbers[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def _image_size(image: AnnotatedImage) -> tuple[int, int]:
    """Height and width of an image; (0, 0) of one that cannot be read, which is reported later."""
    try:
        info = probe(Sample(image.path, image.name))
    except ImageError:
        return 0, 0
    return info.height, info.width


def _read_classes(root: Path) -> dict[int, str]:
    """Class names by id, in the order of ids."""
    for path in (*sorted(root.glob("*.yaml")), *sorted(root.glob("*.yml"))):
        try:
            body = yaml.safe_load(read_text(path))
        except (yaml.YAMLError, RecursionError):
            raise DataError(f"{path}: is not valid YAML") from None
        names: Any = body.get("names") if isinstance(body, dict) else None
        if names is None:
            continue
        if isinstance(names, list):
            names = dict(enumerate(names))
        return _validated_classes(names, path)
    path = root / "classes.txt"
    if path.is_file():
        lines = read_text(path).rstrip().splitlines()
        return _validated_classes(dict(enumerate(line.strip() for line in lines)), path)
    raise DataError(f"{root}: says nowhere what its classes are called; add classes.txt, a name a line, or data.yaml")


def _validated_classes(names: Any, path: Path) -> dict[int, str]:
    try:
        classes = {int(key): name for key, name in names.items()}
    except (AttributeError, TypeError, ValueError):
        raise DataError(f"{path}: names must be a list, or a mapping from ids to names") from None
    for key, name in classes.items():
        if not isinstance(name, str | int | float) or isinstance(name, bool) or not str(name).strip():
            raise DataError(f"{path}: class {key} has no name; give every class one")
    return {key: printable(str(classes[key])) for key in sorted(classes)}
