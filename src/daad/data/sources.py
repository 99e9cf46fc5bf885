"""Open any image source up to its header: the one place where files, bytes, PIL images and arrays part ways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, IOBase
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from PIL import Image, TiffImagePlugin

from daad.data.arrays import NPY_MAGIC, ArrayReader, ImageInfo, NpyReader, Pixels, float_pixels
from daad.data.pillow_reader import PillowReader, open_with_pillow
from daad.data.sample import printable
from daad.data.tensors import from_tensor, is_tensor
from daad.data.tiff import FLOAT, GREY, TiffReader, read_header
from daad.errors import DaadError, ImageError

MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 2 * 2**30


class Reader(Protocol):
    """A source of which the header is read: what it will give, and the pixels on demand."""

    info: ImageInfo

    def read(self) -> Pixels: ...


@contextmanager
def opened(source: Any, name: str | None, max_pixels: int) -> Iterator[Reader]:
    """Open a source up to its header, and turn whatever goes wrong until it is closed into an ImageError."""
    name = name or default_name(source)
    try:
        if is_tensor(source):
            source = from_tensor(source, name)
        if isinstance(source, np.ndarray):
            yield ArrayReader(source, name)
        elif isinstance(source, Image.Image):
            yield _capped(PillowReader(source, name), max_pixels)
        else:
            with _stream(source, name) as stream:
                yield _capped(_reader(stream, name), max_pixels)
    except DaadError:
        raise
    except MemoryError:
        raise ImageError(f"{name}: too large for the memory of this machine; give a smaller image") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: {error}; cut the image into tiles") from None
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ImageError(
            f"{name}: cannot be decoded ({reason}); the file is damaged, so copy or save it again"
        ) from error


def default_name(source: Any) -> str:
    """What errors call a source that was given no name."""
    if isinstance(source, str | Path):
        return printable(str(source))
    if isinstance(source, np.ndarray) or is_tensor(source):
        return "array"
    return "bytes" if isinstance(source, bytes) else "image"


def is_file(source: Any) -> bool:
    """Whether a source is an open file, or something that is read like one; not an iterator of other things."""
    return isinstance(source, IOBase) or (hasattr(source, "read") and not isinstance(source, Iterator))


def file_content(file: Any, name: str) -> bytes:
    """All bytes of an open file, from its beginning wherever it can be rewound. Raises ImageError."""
    try:
        if hasattr(file, "seekable") and file.seekable():
            file.seek(0)
        content = file.read()
    except Exception as error:
        raise ImageError(f"{name}: cannot be read ({error}); give a file that is open for reading") from error
    if not isinstance(content, bytes | bytearray | memoryview):
        raise ImageError(f"{name}: reading it gives {type(content).__name__}, not bytes; open the file with mode 'rb'")
    return bytes(content)


def _stream(source: Any, name: str) -> IO[bytes]:
    if is_file(source):
        source = file_content(source, name)
    if isinstance(source, bytes | bytearray | memoryview):
        if not len(source):
            raise ImageError(f"{name}: holds no bytes; give the content of an image file")
        return BytesIO(source)
    if source is None:
        raise ImageError(
            f"{name}: None is not an image; cv2.imread, for one, gives None for a file it cannot read, so check that "
            "file, or give its path"
        )
    if not isinstance(source, str | Path):
        raise ImageError(
            f"{name}: {type(source).__name__} is not an image; give a path, the bytes of a file, a PIL image or a "
            "NumPy array"
        )
    if source == "":
        raise ImageError(f"{name}: the path is empty; give the path of an image")
    return _file(Path(source), name)


def _file(path: Path, name: str) -> IO[bytes]:
    if path.is_dir():
        raise ImageError(f"{name}: is a folder, not an image; give the folder as the data set, or one file in it")
    if not path.exists():
        where = "" if name == printable(str(path)) else f" at {printable(str(path))}"
        raise ImageError(f"{name}: does not exist{where}; check the path")
    if not path.is_file():
        raise ImageError(f"{name}: is not a regular file; copy the image to a file first")
    try:
        size = path.stat().st_size
        if size == 0:
            raise ImageError(f"{name}: the file is empty; copy or save the image again")
        if size > MAX_FILE_BYTES:
            raise ImageError(f"{name}: {size:,} bytes are more than the limit of {MAX_FILE_BYTES:,}; cut it into tiles")
        return path.open("rb")
    except OSError as error:
        raise ImageError(
            f"{name}: cannot be opened ({error.strerror or error}); check the file's permissions"
        ) from error


def _reader(stream: IO[bytes], name: str) -> Reader:
    start = stream.read(len(NPY_MAGIC))
    stream.seek(0)
    if start == NPY_MAGIC:
        return NpyReader(stream, name)
    if start.startswith(tuple(TiffImagePlugin.PREFIXES)):
        return _tiff_reader(stream, name)
    return PillowReader(open_with_pillow(stream, name), name, stream)


def _tiff_reader(stream: IO[bytes], name: str) -> Reader:
    header = read_header(stream, name)
    if not header.fits_pillow:
        return TiffReader(stream, header, name)
    if header.sample_format == FLOAT:
        raise float_pixels(name)
    reader = PillowReader(open_with_pillow(stream, name), name, stream)
    if header.photometric == GREY[0] and reader.info.dtype == "uint16":
        return _WhiteIsZero(reader)
    return reader


class _WhiteIsZero:
    """16-bit grey TIFF that counts down from white: Pillow turns it round at 8 bits only."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self.info = reader, reader.info

    def read(self) -> Pixels:
        flipped: Pixels = 65535 - self._reader.read()
        return flipped


def _capped(reader: Reader, max_pixels: int) -> Reader:
    height, width, channels, _, name = reader.info
    if height < 1 or width < 1:
        raise ImageError(f"{name}: the header says {width}x{height} pixels; the file is damaged, so save it again")
    if height * width > max_pixels or height * width * channels > 4 * max_pixels:
        raise ImageError(
            f"{name}: {width}x{height} pixels of {channels} channels are more than the limit of {max_pixels:,} pixels; "
            "cut it into tiles (--tile, or daad search, does so with TIFF and JPEG 2000) or raise max_pixels"
        )
    return reader
