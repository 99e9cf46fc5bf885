"""TIFF that Pillow cannot hold without losing channels or depth: read by tifffile, an optional extra."""

from __future__ import annotations

import math
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import TiffImagePlugin

from daad.data.arrays import MAX_CHANNELS, Depth, ImageInfo, Pixels, on_black, orient
from daad.errors import ImageError

GREY, RGB = (0, 1), 2  # photometric interpretations; 0 is grey with white at zero
FLOAT = 3  # sample format


class TiffHeader(NamedTuple):
    """What the first page of a TIFF says of itself."""

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
    """Read the first page's tags; no pixel is touched."""
    stream.seek(0)
    start = stream.read(8)
    if start.startswith(b"MM\0+"):
        raise ImageError(f"{name}: is a big-endian BigTIFF, which is not read; save it as little-endian or plain TIFF")
    if start.startswith(b"II+\0"):
        start += stream.read(8)
    tags: Any = TiffImagePlugin.ImageFileDirectory_v2(start)
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
