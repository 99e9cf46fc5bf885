"""Scenes: images read window by window, so that one may be far larger than memory; and which pixels hold no data.

TIFF (BigTIFF, tiled, many bands, geo-referenced) and JPEG 2000 are read through rasterio where it is installed. Any
other image is decoded completely, under the same limits as everywhere.
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
from daad.data.patches import Patch, intersection, none_if_all, valid_mask
from daad.data.pillow_reader import JP2_MAGIC
from daad.data.sample import Sample
from daad.data.tiff import read_header
from daad.data.tiles import Window
from daad.errors import ImageError

GREY_OR_RGB = (1, 2)  # photometric interpretations that rasterio reads as `decode` does
DEPTHS = (8, 16, 32, 64)
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class Scene(Protocol):
    """An image that is read by windows."""

    info: ImageInfo

    def read(self, window: Window) -> Patch:
        """The pixels of a window inside the image. Raises ImageError where the file is damaged there."""
        ...

    def close(self) -> None:
        """Close the file after a read that is under way."""
        ...

    @property
    def geo(self) -> Any:
        """The rasterio dataset of a geo-referenced image, or None."""
        ...


@contextmanager
def open_scene(sample: Sample, no_data: float | None = None) -> Iterator[Scene]:
    """Open a scene and read its header. `no_data` is the value that means no data, beside the file's own.

    Raises ImageError for what is not an image, cannot be read by windows, or has pixels of unknown range.
    """
    source, name, driver = sample.image, sample.name, _driver(sample.image)
    scene: Scene
    if driver is None:
        scene = DecodedScene(source, name, no_data)
    else:
        from daad.data.rasterio_scene import RasterioScene

        scene = RasterioScene(source, driver, name, no_data)
    with closing(scene):
        yield scene


def probe_scene(sample: Sample) -> ImageInfo:
    """Height, width, channels and dtype of a scene, from its header alone. Raises ImageError."""
    if _driver(sample.image) is None:
        return probe(sample)
    with open_scene(sample) as scene:
        return scene.info


def pixels_of(sample: Sample) -> Pixels:
    """All pixels of a scene (H, W, C), as its windows give them. Raises ImageError."""
    with open_scene(sample) as scene:
        return scene.read(Window(0, 0, scene.info.height, scene.info.width)).pixels


class DecodedScene:
    """An image that is decoded completely. Pixels that are fully transparent, NaN or `no_data` hold no data."""

    def __init__(self, source: Any, name: str, no_data: float | None = None) -> None:
        raw = _raw_array(source)
        valid = None if raw is None else valid_mask(raw.reshape(*raw.shape[:2], -1), no_data)
        if raw is not None and raw.dtype.kind == "f" and valid is not None:
            raw = np.where(np.isfinite(raw), raw, 0)
        pixels = decode(source if raw is None else raw, name=name)
        if raw is None:
            valid = intersection(opacity(source, name), valid_mask(pixels, no_data))
        height, width, channels = pixels.shape
        self.info = ImageInfo(height, width, channels, "uint8" if pixels.dtype == np.uint8 else "uint16", name)
        self._pixels, self._valid = pixels, valid

    geo = None

    def read(self, window: Window) -> Patch:
        top, left, height, width = window
        inside = slice(top, top + height), slice(left, left + width)
        return Patch(self._pixels[inside], none_if_all(None if self._valid is None else self._valid[inside]))

    def close(self) -> None:
        """There is no file to close."""


def _raw_array(source: Any) -> npt.NDArray[Any] | None:
    """The values of an array or a .npy file; None for any other image, and for what `decode` refuses."""
    if isinstance(source, Path) and source.suffix.lower() == ".npy":
        try:
            source = np.load(source, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
    usable = isinstance(source, np.ndarray) and source.ndim in (2, 3) and source.size and source.dtype.kind in "buf"
    return source if usable else None


def _driver(source: Any) -> str | None:
    """The GDAL driver that reads a source by windows; None where it is decoded completely.

    That is: it is no TIFF or JPEG 2000 file, rasterio is missing, or rasterio would give other pixels than `decode`
    (palettes, rotated images, other depths). What is wrong with a file is reported where it is decoded.
    """
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
            same_pixels = header.photometric in GREY_OR_RGB and header.orientation == 1
            return "GTiff" if same_pixels and set(header.bits) <= set(DEPTHS) else None
    except ImageError:  # tables of many millions of tiles, which Pillow is kept from reading
        return "GTiff"
    except Exception:
        return None
