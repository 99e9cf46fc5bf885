"""What every format gives before it is checked: images with boxes as they stand there, the classes, and notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from daad.data.sample import Split
from daad.errors import DataError

MAX_TEXT_BYTES = 2**30
FOLDERS_OF_IMAGES = ("JPEGImages", "images", ".")
SPLITS = {"train": ("train", "trainval"), "test": ("test", "val", "valid")}


@dataclass
class RawBoxes:
    """An image as its annotations speak of it: boxes (left, top, right, bottom) with the names of their classes; the
    size (height, width) that they declare, if they do; or the problem that forbids the image's use."""

    image: Path
    name: str
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    declared: tuple[int, int] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Place:
    """What to read: a file or folder of annotations, a part of it, and where the images lie if not beside them."""

    path: Path
    split: Split
    images: Path | None = None


class Read(NamedTuple):
    """What a reader found; `notes` tell of annotations that could not be used."""

    images: list[RawBoxes]
    classes: tuple[str, ...]
    notes: list[str]


Reader = Callable[[Place], Read]


def image_of(base: Path, name: str, given: Path | None, more: Iterable[str] = ()) -> Path:
    """Where an image lies that annotations call by `name`: below the folder given, that of the annotations, or of the
    data; `more` are further folders there."""
    if given is not None:
        return given / name
    for root in (base, base.parent):
        for folder in (*FOLDERS_OF_IMAGES, *more):
            if is_file(root / folder / name):
                return root / folder / name
    return base / name


def is_file(path: Path) -> bool:
    """Whether a regular file lies there; a name that is too long is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def one_line(text: str) -> str:
    """A name from a file as it may be shown: no line breaks, no control characters, not endless."""
    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
    return shown if len(shown) <= 200 else f"{shown[:200]}..."


def content_of(path: Path) -> bytes:
    """The bytes of a file of annotations. Raises DataError for what is no regular file, too large or not readable."""
    try:
        if not path.is_file():
            raise DataError(f"{path}: is no regular file")
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise DataError(f"{path}: more than {MAX_TEXT_BYTES:,} bytes of annotations; split it")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def text_of(path: Path) -> str:
    """The text of a file of annotations."""
    try:
        return content_of(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
