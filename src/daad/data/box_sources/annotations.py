"""What every format of boxes is read into before it is checked: images with boxes, the classes, and notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from daad.data.sample import Split
from daad.errors import DataError

MAX_ANNOTATION_BYTES = 2**30
IMAGE_FOLDERS = ("JPEGImages", "images", ".")
SPLIT_NAMES = {"train": ("train", "trainval"), "test": ("test", "val", "valid")}


@dataclass
class AnnotatedImage:
    """An image as its annotations describe it, unchecked.

    `boxes` are (left, top, right, bottom) in pixels and `class_names` their classes. `declared_size` is the (height,
    width) that the annotations state, None where they state none. `problem` says why the image cannot be used.
    """

    path: Path
    name: str
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)
    declared_size: tuple[int, int] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class AnnotationSource:
    """What to read: a file or folder of annotations, a split, and the folder of images if not beside them."""

    path: Path
    split: Split
    images: Path | None = None


class Annotations(NamedTuple):
    """The images, the class names, and notes on annotations that could not be used."""

    images: list[AnnotatedImage]
    classes: tuple[str, ...]
    notes: list[str]


AnnotationReader = Callable[[AnnotationSource], Annotations]


def image_path(folder: Path, name: str, images: Path | None, subfolders: Iterable[str] = ()) -> Path:
    """The path of an image that annotations call `name`.

    Args:
        folder: the folder of the annotations; its parent is searched, too.
        name: the path of the image as the annotations state it.
        images: the folder of images that the user gave; nothing else is searched then.
        subfolders: searched beside IMAGE_FOLDERS.

    Returns:
        The first path where a file is, or `folder` / `name`.
    """
    if images is not None:
        return images / name
    for root in (folder, folder.parent):
        for subfolder in (*IMAGE_FOLDERS, *subfolders):
            if is_regular_file(root / subfolder / name):
                return root / subfolder / name
    return folder / name


def is_regular_file(path: Path) -> bool:
    """Whether the path is that of a regular file; a name that is too long is not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def one_line(text: str) -> str:
    """Text from a file as one printable line: control characters are escaped, and it is cut at 200 characters."""
    line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return line if len(line) <= 200 else f"{line[:200]}..."


def counted_notes(name: str | Path, counts: Counter[str]) -> list[str]:
    """A note on a file or image for every problem that occurs, with how often it does."""
    return [
        f"{name}: {problem}" + (f", {count} times" if count > 1 else "") for problem, count in counts.items() if count
    ]


def read_bytes(path: Path) -> bytes:
    """The bytes of an annotation file. Raises DataError if it is not regular, too large or not readable."""
    try:
        if not path.is_file():
            raise DataError(f"{path}: is no regular file")
        if path.stat().st_size > MAX_ANNOTATION_BYTES:
            raise DataError(f"{path}: more than {MAX_ANNOTATION_BYTES:,} bytes of annotations; split it")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_text(path: Path) -> str:
    """The text of an annotation file. Raises DataError as `read_bytes` does, or if it is not UTF-8."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
