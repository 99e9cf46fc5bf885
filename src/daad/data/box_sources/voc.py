"""Pascal VOC XML: a file an image, pixels counted from 1 and inclusive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from daad.data.box_sources.raw import SPLITS, Place, RawBoxes, Read, content_of, image_of, is_file, text_of
from daad.data.decode import EXTENSIONS
from daad.data.sample import Split, printable
from daad.errors import DataError

SIDES = ("xmin", "ymin", "xmax", "ymax")


def read_voc(at: Place) -> Read:
    """The images that ImageSets/Main names for the part, or all where nothing divides them. A file that is no
    annotation is left out with a note."""
    listed = _listed(at.path, at.split)
    found, notes = [], []
    for path in annotation_files(at.path):
        if listed is not None and path.stem not in listed:
            continue
        try:
            raw, said = _image(path, at.images)
        except (ElementTree.ParseError, ValueError, DataError) as error:
            told = str(error) if isinstance(error, DataError) else f"{path}: is no Pascal VOC annotation ({error})"
            notes.append(f"left out: {told}")
            continue
        found.append(raw)
        notes += [f"{raw.name}: {what}" + (f", {count} times" if count > 1 else "") for what, count in said.items()]
    missing = sorted((listed or set()) - {raw.image.stem for raw in found})
    if missing:
        notes.append(f"{len(missing)} names of ImageSets have no annotation, such as {missing[0]}")
    return Read(found, tuple(sorted({name for raw in found for name in raw.names})), notes)


def annotation_files(place: Path) -> Iterator[Path]:
    """The .xml files below a folder, sorted, but hidden ones."""
    for path in sorted(place.rglob("*.xml")):
        if not any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(place).parts) and is_file(
            path
        ):
            yield path


def _listed(place: Path, split: Split) -> set[str] | None:
    """The stems that ImageSets/Main names for a part; None where it has no lists. Raises DataError where it has lists,
    but not for this part."""
    folder = place / "ImageSets" / "Main"
    for name in SPLITS[split]:
        path = folder / f"{name}.txt"
        if path.is_file():
            return {line.split()[0] for line in text_of(path).splitlines() if line.strip()}
    others = [name for names in SPLITS.values() for name in names if (folder / f"{name}.txt").is_file()]
    if others:
        raise DataError(f"{folder}: lists {', '.join(others)}, and nothing for {split}; add {SPLITS[split][0]}.txt")
    return None


def _image(path: Path, given: Path | None) -> tuple[RawBoxes, Counter[str]]:
    content = content_of(path)
    plain = content.replace(b"\0", b"").upper()  # of UTF-16, too
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise DataError(f"{path}: declares entities, which annotations need not; remove them")
    root = ElementTree.fromstring(content)
    base = path.parent.parent if path.parent.name == "Annotations" else path.parent
    name = (root.findtext("filename") or "").strip() or _named_like(path.stem, base, given)
    raw = RawBoxes(image_of(base, name, given), printable(name), declared=_declared(root))
    said: Counter[str] = Counter()
    for thing in root.iter("object"):
        box, label = thing.find("bndbox"), (thing.findtext("name") or "").strip()
        if box is None or not label:
            said["an object without bndbox" if box is None else "an object without a name"] += 1
            continue
        try:
            left, top, right, bottom = (float(box.findtext(side) or "nan") for side in SIDES)
        except ValueError:
            said["an object whose bndbox is not four numbers"] += 1
            continue
        said["an object marked difficult, taken like the others"] += (thing.findtext("difficult") or "0").strip() == "1"
        raw.boxes.append((left - 1, top - 1, right, bottom))
        raw.names.append(printable(label))
    return raw, +said


def _named_like(stem: str, base: Path, given: Path | None) -> str:
    """The image of an annotation that does not name it: of the same stem, whatever its ending."""
    for ending in EXTENSIONS:
        if is_file(image_of(base, f"{stem}{ending}", given)):
            return f"{stem}{ending}"
    return f"{stem}.jpg"


def _declared(root: ElementTree.Element) -> tuple[int, int] | None:
    try:
        height, width = (int(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    except ValueError:
        return None
    return (height, width) if height > 0 and width > 0 else None
