"""TIFF that Pillow cannot read without losing channels or depth: read by tifffile, an optional extra."""

from __future__ import annotations

import math
import struct
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import TiffImagePlugin

from daad.data.arrays import MAX_CHANNELS, Depth, ImageInfo, Pixels, on_black, orient
from daad.errors import ImageError

GREY, RGB = (0, 1), 2  # photometric interpretations; 0 is grey with white at zero
FLOAT = 3  # sample format

# A tag of numbers becomes a Python tuple of many times its size, so the size of tags is limited beforehand.
MAX_TAGS = 65_535
MAX_TAG_BYTES = 2**20
MAX_TABLE_BYTES = 16 * 2**20  # offsets of tiles: 100 Mpx of 4 planes in 16x16 tiles make 12.5 MB of 8-byte offsets
MAX_ALL_BYTES = 128 * 2**20  # descriptions, profiles and layers of other programs are large, but stay bytes
_TABLES = (273, 279, 324, 325)  # offsets and byte counts of strips and tiles
_DESCRIPTION, _FIRST_FOREIGN = 270, 700
_BYTES = (1, 2, 7)  # types that stay bytes: BYTE, ASCII, UNDEFINED
_TYPE_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}  # bytes of a value by type


class TiffHeader(NamedTuple):
    """The tags of the first page of a TIFF."""

    width: int
    height: int
    samples: int
    bits: tuple[int, ...]
    photometric: int
    extras: tuple[int, ...]
    sample_format: int
    orientation: int

    @property
    def has_alpha(self) -> bool:
        """Whether it is grey or RGB plus one alpha channel, and nothing else."""
        grey_alpha = self.photometric in GREY and self.samples == 2 and self.extras in ((1,), (2,))
        return grey_alpha or (self.photometric == RGB and self.samples == 4 and self.extras in ((), (1,), (2,)))

    @property
    def fits_pillow(self) -> bool:
        """Whether Pillow gives every channel at full depth."""
        if self.photometric not in (*GREY, RGB) or self.samples == 1:
            return True
        eight_bit = set(self.bits) == {8}
        return eight_bit and (self.has_alpha or (self.photometric == RGB and self.samples == 3))


def read_header(stream: IO[bytes], name: str) -> TiffHeader:
    """Read the first page's tags; no pixel is decoded. Raises ImageError if they hold more than an image needs."""
    stream.seek(0)
    start = stream.read(8)
    if start.startswith(b"MM\0+"):
        raise ImageError(f"{name}: is a big-endian BigTIFF, which is not read; save it as little-endian or plain TIFF")
    if start.startswith(b"II+\0"):
        start += stream.read(8)
    tags: Any = TiffImagePlugin.ImageFileDirectory_v2(start)
    _check_tag_sizes(stream, tags.next, start, name)
    stream.seek(tags.next)
    tags.load(stream)
    samples = int(tags.get(277, 1))
    return TiffHeader(
        width=int(tags.get(256, 0)),
        height=int(tags.get(257, 0)),
        samples=samples,
        bits=tuple(tags.get(258, (1,))),
        photometric=int(tags.get(262, 0)),
        extras=tuple(tags.get(338, ())),
        sample_format=max(tags.get(339, (1,))),
        orientation=int(tags.get(274, 1)),
    )


def _check_tag_sizes(stream: IO[bytes], offset: int, start: bytes, name: str) -> None:
    """Refuse absurd tags by the sizes in the directory, before any library reads their values."""
    byte_order, is_big = "<" if start.startswith(b"II") else ">", start[2] == 43
    head = struct.Struct(byte_order + ("Q" if is_big else "H"))
    entry = struct.Struct(byte_order + ("HHQ8x" if is_big else "HHI4x"))
    stream.seek(offset)
    (count,) = head.unpack(stream.read(head.size))
    if count > MAX_TAGS:
        raise ImageError(f"{name}: its header claims {count:,} tags; the file is damaged, so save it again")
    entries = stream.read(count * entry.size)
    total = 0
    for tag, kind, value_count in entry.iter_unpack(entries[: len(entries) // entry.size * entry.size]):
        size = value_count * _TYPE_BYTES.get(kind, 0)  # a tag of another type is ignored by every reader
        total += size
        if size > _max_tag_bytes(tag, kind) or total > MAX_ALL_BYTES:
            raise ImageError(
                f"{name}: TIFF tag {tag} claims {size:,} bytes, more than the header of an image needs; save the file "
                "again without extra data"
            )


def _max_tag_bytes(tag: int, kind: int) -> int:
    if tag in _TABLES:
        return MAX_TABLE_BYTES
    foreign = tag == _DESCRIPTION or tag >= _FIRST_FOREIGN
    return MAX_ALL_BYTES if foreign and kind in _BYTES else MAX_TAG_BYTES


class TiffReader:
    """The first page of a many-channel or 16-bit colour TIFF."""

    def __init__(self, stream: IO[bytes], header: TiffHeader, name: str) -> None:
        self._stream, self._header = stream, header
        if not 1 <= header.samples <= MAX_CHANNELS:
            raise ImageError(f"{name}: has {header.samples} channels, and at most {MAX_CHANNELS} are read")
        if set(header.bits) not in ({8}, {16}) or header.sample_format != 1:
            raise ImageError(
                f"{name}: holds {header.samples} channels of {header.bits[0]}-bit "
                f"{'floats' if header.sample_format == FLOAT else 'samples'}; save it with unsigned 8 or 16 bits, or "
                "load it yourself and pass an array"
            )
        channels = header.samples - 1 if header.has_alpha else header.samples
        depth: Depth = "uint8" if set(header.bits) == {8} else "uint16"
        height, width = header.height, header.width
        if header.orientation in (5, 6, 7, 8):
            height, width = width, height
        self.info = ImageInfo(height, width, channels, depth, name)

    def read(self) -> Pixels:
        header, pixels = self._header, self._samples()
        expected = (header.height, header.width, header.samples)
        if pixels.shape != expected or pixels.dtype != self.info.dtype:
            raise ImageError(
                f"{self.info.name}: its pages hold {pixels.shape} {pixels.dtype} where the header says {expected} "
                f"{self.info.dtype}; save it again as a plain TIFF"
            )
        if header.has_alpha:
            pixels = pixels[..., :-1] if header.extras == (1,) else on_black(pixels)  # 1: premultiplied
        return np.ascontiguousarray(orient(pixels, header.orientation))

    def _samples(self) -> Pixels:
        name, header = self.info.name, self._header
        try:
            import tifffile
        except ImportError:
            raise ImageError(
                f"{name}: a TIFF of {header.samples} channels of {header.bits[0]} bits needs tifffile: "
                'pip install "daad[tiff]"'
            ) from None
        self._stream.seek(0)
        with tifffile.TiffFile(self._stream) as file:
            page = file.pages[0]
            segments = page.databytecounts  # tifffile would fill absent ones with zeros
            if len(segments) != math.prod(page.chunked) or min(segments) <= 0:
                raise ImageError(f"{name}: parts of the image are missing from the file; copy or save it again")
            samples: Pixels = page.asarray()
        return np.moveaxis(samples, 0, -1) if page.axes == "SYX" else samples
