"""Pascal VOC XML: a file an image, pixels counted from 1 and inclusive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from daad.data.box_sources.annotations import (
    SPLIT_NAMES,
    AnnotatedImage,
    Annotations,
    AnnotationSource,
    counted_notes,
    image_path,
    is_regular_file,
    read_bytes,
    read_text,
)
from daad.data.decode import EXTENSIONS
from daad.data.sample import Split, printable
from daad.errors import DataError

SIDES = ("xmin", "ymin", "xmax", "ymax")


def read_voc(source: AnnotationSource) -> Annotations:
    """The images that ImageSets/Main lists for the split, or all where there are no lists.

    A file that is no annotation is left out with a note.
    """
    listed = _listed_stems(source.path, source.split)
    images, notes = [], []
    for path in annotation_files(source.path):
        if listed is not None and path.stem not in listed:
            continue
        try:
            image, problems = _read_image(path, source.images)
        except (ElementTree.ParseError, ValueError, DataError) as error:
            message = str(error) if isinstance(error, DataError) else f"{path}: is no Pascal VOC annotation ({error})"
            notes.append(f"left out: {message}")
            continue
        images.append(image)
        notes += counted_notes(image.name, problems)
    missing = sorted((listed or set()) - {image.path.stem for image in images})
    if missing:
        notes.append(f"{len(missing)} names of ImageSets have no annotation, such as {missing[0]}")
    return Annotations(images, tuple(sorted({name for image in images for name in image.class_names})), notes)


def annotation_files(folder: Path) -> Iterator[Path]:
    """The .xml files below a folder, sorted, without hidden ones."""
    for path in sorted(folder.rglob("*.xml")):
        parts = path.relative_to(folder).parts
        if not any(part.startswith(".") or part == "__MACOSX" for part in parts) and is_regular_file(path):
            yield path


def _listed_stems(root: Path, split: Split) -> set[str] | None:
    """The stems that ImageSets/Main lists for a split; None where it has no lists. Raises DataError where it has lists,
    but not for this split."""
    folder = root / "ImageSets" / "Main"
    for name in SPLIT_NAMES[split]:
        path = folder / f"{name}.txt"
        if path.is_file():
            return {line.split()[0] for line in read_text(path).splitlines() if line.strip()}
    others = [name for names in SPLIT_NAMES.values() for name in names if (folder / f"{name}.txt").is_file()]
    if others:
        raise DataError(
            f"{folder}: lists {', '.join(others)}, and nothing for {split}; add {SPLIT_NAMES[split][0]}.txt"
        )
    return None


def _read_image(path: Path, images: Path | None) -> tuple[AnnotatedImage, Counter[str]]:
    content = read_bytes(path)
    markup = content.replace(b"\0", b"").upper()  # of UTF-16, too
    if b"<!DOCTYPE" in markup or b"<!ENTITY" in markup:
        raise DataError(f"{path}: declares entities, which annotations need not; remove them")
    root = ElementTree.fromstring(content)
    folder = path.parent.parent if path.parent.name == "Annotations" else path.parent
    name = (root.findtext("filename") or "").strip() or _name_by_stem(path.stem, folder, images)
    image = AnnotatedImage(image_path(folder, name, images), printable(name), declared_size=_declared_size(root))
    problems: Counter[str] = Counter()
    for element in root.iter("object"):
        box, label = element.find("bndbox"), (element.findtext("name") or "").strip()
        if box is None or not label:
            problems["an object without bndbox" if box is None else "an object without a name"] += 1
            continue
        try:
            left, top, right, bottom = (float(box.findtext(side) or "nan") for side in SIDES)
        except ValueError:
            problems["an object whose bndbox is not four numbers"] += 1
            continue
        is_difficult = (element.findtext("difficult") or "0").strip() == "1"
        problems["an object marked difficult, taken like the others"] += is_difficult
        image.boxes.append((left - 1, top - 1, right, bottom))
        image.class_names.append(printable(label))
    return image, problems


def _name_by_stem(stem: str, folder: Path, images: Path | None) -> str:
    """The name of the image of an annotation that states none: the same stem with any extension."""
    for extension in EXTENSIONS:
        if is_regular_file(image_path(folder, f"{stem}{extension}", images)):
            return f"{stem}{extension}"
    return f"{stem}.jpg"


def _declared_size(root: ElementTree.Element) -> tuple[int, int] | None:
    try:
        height, width = (int(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    except ValueError:
        return None
    return (height, width) if height > 0 and width > 0 else None
