"""Scenes: images read window by window, so that one may be far larger than memory; and which pixels hold no data.

TIFF (BigTIFF, tiled, many bands, geo-referenced) and JPEG 2000 are read through rasterio where it is installed; any
other image is decoded whole, under the same limits as everywhere.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from daad.data.arrays import ImageInfo, Pixels
from daad.data.decode import decode, opacity, probe
from daad.data.patches import Patch, all_or, both, real
from daad.data.raster import JP2_MAGIC
from daad.data.sample import Sample
from daad.data.tiff import read_header
from daad.data.tiles import Window
from daad.errors import ImageError

PLAIN = (1, 2)  # photometric interpretations that are read as they are: grey and RGB
DEPTHS = (8, 16, 32, 64)
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class Scene(Protocol):
    """An image of which windows can be read."""

    info: ImageInfo

    def read(self, window: Window) -> Patch:
        """The pixels of a window inside the image. Raises ImageError where the file is damaged there."""
        ...

    def close(self) -> None:
        """Wait for a read that is under way, and let the file go."""
        ...

    @property
    def geo(self) -> Any:
        """The rasterio dataset that knows where on Earth the image lies, or None."""
        ...


@contextmanager
def open_scene(sample: Sample, no_data: float | None = None) -> Iterator[Scene]:
    """Open a scene up to its header. `no_data`: the value that means no data, beside what the file says of itself.

    Raises ImageError for what is not an image, cannot be read by windows, or has pixels of unknown range.
    """
    source, name, driver = sample.image, sample.name, _driver(sample.image)
    scene: Scene
    if driver is None:
        scene = WholeScene(source, name, no_data)
    else:
        from daad.data.raster_scene import RasterScene

        scene = RasterScene(source, driver, name, no_data)
    with closing(scene):
        yield scene


def probe_scene(sample: Sample) -> ImageInfo:
    """What a scene holds, from its header alone. Raises ImageError."""
    if _driver(sample.image) is None:
        return probe(sample)
    with open_scene(sample) as scene:
        return scene.info


def pixels_of(sample: Sample) -> Pixels:
    """All pixels of a scene, as its windows hold them. Raises ImageError."""
    with open_scene(sample) as scene:
        return scene.read(Window(0, 0, scene.info.height, scene.info.width)).pixels


class WholeScene:
    """An image that is decoded whole. What is wholly transparent, NaN or `no_data` holds no data."""

    def __init__(self, source: Any, name: str, no_data: float | None = None) -> None:
        raw = _array_of(source)
        valid = None if raw is None else real(raw.reshape(*raw.shape[:2], -1), no_data)
        if raw is not None and raw.dtype.kind == "f" and valid is not None:
            raw = np.where(np.isfinite(raw), raw, 0)
        pixels = decode(source if raw is None else raw, name=name)
        if raw is None:
            valid = both(opacity(source, name), real(pixels, no_data))
        height, width, channels = pixels.shape
        self.info = ImageInfo(height, width, channels, "uint8" if pixels.dtype == np.uint8 else "uint16", name)
        self._pixels, self._valid = pixels, valid

    geo = None

    def read(self, window: Window) -> Patch:
        top, left, height, width = window
        place = slice(top, top + height), slice(left, left + width)
        return Patch(self._pixels[place], all_or(None if self._valid is None else self._valid[place]))

    def close(self) -> None:
        """Nothing is held."""


def _array_of(source: Any) -> npt.NDArray[Any] | None:
    """The numbers of an array or a .npy file as they are; None for any other image, and for what `decode` refuses."""
    if isinstance(source, Path) and source.suffix.lower() == ".npy":
        try:
            source = np.load(source, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
    usable = isinstance(source, np.ndarray) and source.ndim in (2, 3) and source.size and source.dtype.kind in "buf"
    return source if usable else None


def _driver(source: Any) -> str | None:
    """What reads a source by windows; None where it is to be decoded whole: it is no such file, rasterio would show it
    otherwise (palettes, turned images, other depths) or is absent. What is wrong with a file is told where it is
    decoded."""
    try:
        if not isinstance(source, Path) or not source.is_file():
            return None
        str(source).encode()  # GDAL takes no other names
        with source.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of damaged headers
            start = stream.read(8)
            if start.startswith(JP2_MAGIC):
                return "JP2OpenJPEG"
            if not start.startswith(TIFF_MAGIC) or importlib.util.find_spec("rasterio") is None:
                return None
            if start.startswith(b"MM\0+"):
                return "GTiff"
            header = read_header(stream, source.name)
            plain = header.photometric in PLAIN and header.orientation == 1 and set(header.bits) <= set(DEPTHS)
            return "GTiff" if plain else None
    except ImageError:  # tables of many millions of tiles, which Pillow should not read
        return "GTiff"
    except Exception:
        return None
