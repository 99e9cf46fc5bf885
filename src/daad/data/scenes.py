"""Scenes: images read window by window, so that one may be far larger than memory; and which pixels hold no data.

TIFF (BigTIFF, tiled, many bands, geo-referenced) and JPEG 2000 are read through rasterio where it is installed; any
other image is decoded whole, under the same limits as everywhere.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from daad.data.arrays import MAX_CHANNELS, ROUNDING, ImageInfo, Pixels
from daad.data.decode import decode, probe
from daad.data.sample import Sample
from daad.data.tiff import read_header
from daad.data.tiles import Window
from daad.errors import ImageError

EXTENSIONS = (".tif", ".tiff", ".jp2", ".j2k")
MAX_SIDE = 10_000_000
MAX_BLOCK_BYTES = 512 * 2**20  # what the file's own layout forces to be read at once
CACHE_MEGABYTES = 256
PLAIN = (1, 2)  # photometric interpretations that are read as they are: grey and RGB
JP2_MAGIC = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class Patch(NamedTuple):
    """Pixels (h, w, C) of a window, and which of them are real, (h, w), None where all are."""

    pixels: Pixels
    valid: npt.NDArray[np.bool_] | None


class Scene(Protocol):
    """An image of which windows can be read."""

    info: ImageInfo

    def read(self, window: Window) -> Patch:
        """The pixels of a window inside the image. Raises ImageError where the file is damaged there."""
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
    source, name = sample.image, sample.name
    with ExitStack() as stack:
        driver = _driver(source)
        if driver is not None:
            yield RasterScene(stack.enter_context(_dataset(source, driver, name)), name, no_data)
        else:
            yield WholeScene(decode(source, name=name), name, no_data)


def probe_scene(sample: Sample) -> ImageInfo:
    """What a scene holds, from its header alone. Raises ImageError."""
    source = sample.image
    driver = _driver(source)
    if driver is None:
        return probe(sample)
    with _dataset(source, driver, sample.name) as dataset:
        return RasterScene(dataset, sample.name, None).info


class WholeScene:
    """An image that is in memory already."""

    def __init__(self, pixels: Pixels, name: str, no_data: float | None = None) -> None:
        height, width, channels = pixels.shape
        self.info = ImageInfo(height, width, channels, "uint8" if pixels.dtype == np.uint8 else "uint16", name)
        self._pixels, self._no_data = pixels, no_data

    geo = None

    def read(self, window: Window) -> Patch:
        top, left, height, width = window
        pixels = self._pixels[top : top + height, left : left + width]
        return Patch(pixels, _all_or(_real(pixels, self._no_data)))


class RasterScene:
    """An open rasterio dataset; alpha bands, nodata values, masks and NaN say where there is no data."""

    def __init__(self, dataset: Any, name: str, no_data: float | None) -> None:
        self._dataset, self._no_data = dataset, no_data
        self._bands = [
            band for band, meaning in zip(dataset.indexes, dataset.colorinterp, strict=True) if meaning.name != "alpha"
        ]
        self._masked = any(flags != [_all_valid()] for flags in dataset.mask_flag_enums)
        self.info = _checked(dataset, self._bands, name)

    @property
    def geo(self) -> Any:
        return self._dataset if self._dataset.crs is not None and not self._dataset.transform.is_identity else None

    def read(self, window: Window) -> Patch:
        top, left, height, width = window
        place = ((top, top + height), (left, left + width))
        try:
            bands = self._dataset.read(self._bands, window=place)
            mask = self._dataset.dataset_mask(window=place) != 0 if self._masked else None
        except Exception as error:  # rasterio's own, of many kinds
            raise ImageError(
                f"{self.info.name}: cannot be read at row {top}, column {left} ({error}); the file is damaged, so copy "
                "or save it again"
            ) from None
        pixels = np.ascontiguousarray(bands.transpose(1, 2, 0))
        valid = _real(pixels, self._no_data)
        valid = mask if valid is None else valid if mask is None else valid & mask
        return Patch(_to_ints(pixels, valid, self.info.name), _all_or(valid))


def _driver(source: Any) -> str | None:
    """What reads a source by windows; None where it is to be decoded whole: it is no such file, rasterio would show it
    otherwise (palettes, turned images) or is absent. What is wrong with a file is told where it is decoded."""
    if not isinstance(source, Path):
        return None
    try:
        with source.open("rb") as stream:
            start = stream.read(8)
            if start.startswith(JP2_MAGIC):
                return "JP2OpenJPEG"
            if not start.startswith(TIFF_MAGIC) or importlib.util.find_spec("rasterio") is None:
                return None
            if start.startswith(b"MM\0+"):
                return "GTiff"
            header = read_header(stream, source.name)
            return "GTiff" if header.photometric in PLAIN and header.orientation == 1 else None
    except Exception:
        return None


@contextmanager
def _dataset(path: Any, driver: str, name: str) -> Iterator[Any]:
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError:
        raise ImageError(f'{name}: JPEG 2000 needs rasterio: pip install "daad[scenes]"') from None
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_MEGABYTES, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"))
        try:
            dataset = stack.enter_context(rasterio.open(path, driver=driver))
        except RasterioError as error:
            raise ImageError(
                f"{name}: cannot be opened ({error}); the file is damaged, so copy or save it again"
            ) from None
        yield dataset


def _checked(dataset: Any, bands: list[int], name: str) -> ImageInfo:
    kinds = sorted({str(dataset.dtypes[band - 1]) for band in bands})
    if not bands or len(bands) > MAX_CHANNELS:
        raise ImageError(f"{name}: has {len(bands)} bands beside alpha, and 1 to {MAX_CHANNELS} are read")
    if len(kinds) > 1 or kinds[0] not in ("uint8", "uint16", "float32", "float64"):
        raise ImageError(
            f"{name}: holds {', '.join(kinds)}, which says nothing of where white is; convert to unsigned 8 or 16 bits "
            "(gdal_translate -ot UInt16 -scale LOW HIGH 0 65535), the same range for every scene"
        )
    if any(meaning.name == "palette" for meaning in dataset.colorinterp):
        raise ImageError(f"{name}: holds numbers of a palette; convert it to RGB (gdal_translate -expand rgb)")
    if not 1 <= dataset.width <= MAX_SIDE or not 1 <= dataset.height <= MAX_SIDE:
        raise ImageError(f"{name}: {dataset.width}x{dataset.height} pixels are more than {MAX_SIDE} a side")
    rows, columns = dataset.block_shapes[0]
    if rows * columns * len(bands) * np.dtype(kinds[0]).itemsize > MAX_BLOCK_BYTES:
        raise ImageError(
            f"{name}: is stored in blocks of {columns}x{rows} pixels, too large to be read by windows; save it as a "
            "tiled TIFF (gdal_translate -co TILED=YES)"
        )
    return ImageInfo(dataset.height, dataset.width, len(bands), "uint8" if kinds[0] == "uint8" else "uint16", name)


def _all_valid() -> Any:
    from rasterio.enums import MaskFlags

    return MaskFlags.all_valid


def _real(pixels: npt.NDArray[Any], no_data: float | None) -> npt.NDArray[np.bool_] | None:
    """Where pixels (h, w, C) are numbers, and not `no_data` in every band; None where nothing can be missing."""
    valid: npt.NDArray[np.bool_] | None = None
    if pixels.dtype.kind == "f":
        valid = np.isfinite(pixels).all(axis=2)
    if no_data is not None:
        there = (pixels != no_data).any(axis=2)
        valid = there if valid is None else valid & there
    return valid


def _all_or(valid: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_] | None:
    return None if valid is None or valid.all() else valid


def _to_ints(pixels: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None, name: str) -> Pixels:
    """Floats in [0, 1] become 16 bits, as everywhere; what is no data becomes 0."""
    if pixels.dtype.kind != "f":
        return pixels
    known = pixels if valid is None else np.where(valid[:, :, None], pixels, 0)
    low, high = float(known.min()), float(known.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise ImageError(
            f"{name}: float values reach from {low:g} to {high:g}, outside [0, 1]; convert to unsigned 16 bits "
            "(gdal_translate -ot UInt16 -scale LOW HIGH 0 65535), the same range for every scene"
        )
    scaled: Pixels = np.rint(known.clip(0, 1) * 65535).astype(np.uint16)
    return scaled
