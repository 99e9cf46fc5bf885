"""A scene that rasterio (GDAL) reads window by window: TIFF of any size and JPEG 2000."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from threading import Lock
from typing import Any

import numpy as np

from daad.data.arrays import MAX_CHANNELS, ImageInfo, on_black
from daad.data.patches import Bools, Patch, intersection, none_if_all, to_ints, valid_mask
from daad.data.tiles import Window
from daad.errors import ImageError

MAX_SIDE = 10_000_000
MAX_BLOCK_BYTES = 512 * 2**20  # of a block of the file, which GDAL reads at once
CACHE_MEGABYTES = 256
TYPES = ("uint8", "uint16", "float32", "float64")


class RasterioScene:
    """An open GDAL dataset.

    No data is where an alpha band, a no-data value, a mask or NaN says so, and in blocks that the file does not hold.
    Colours under alpha are composited on black, as everywhere.

    Args:
        source: the path of the file.
        driver: GDAL's name of the format, "GTiff" or "JP2OpenJPEG".
        name: what errors call the scene.
        no_data: the value that means no data, beside the file's own.

    Raises:
        ImageError: the file cannot be opened, or its pixels are of unknown range.
    """

    def __init__(self, source: Any, driver: str, name: str, no_data: float | None) -> None:
        self._lock, self._stack = Lock(), ExitStack()
        try:
            self._dataset: Any = _opened(self._stack, source, driver, name)
            indexes, kinds = self._dataset.indexes, [kind.name for kind in self._dataset.colorinterp]
            self._bands = [band for band, kind in zip(indexes, kinds, strict=True) if kind != "alpha"]
            self._alpha = [band for band, kind in zip(indexes, kinds, strict=True) if kind == "alpha"][:1]
            self.info = _validated_info(self._dataset, self._bands, name)
        except BaseException:
            self._stack.close()
            raise
        self._no_data, self._blocks = no_data, self._dataset.block_shapes[0]
        self._by_blocks = driver == "GTiff"
        masks = self._dataset.mask_flag_enums
        self._has_mask = not self._alpha and any(masks[band - 1] != [_all_valid()] for band in self._bands)
        self._closed = False

    @property
    def geo(self) -> Any:
        """The dataset, if it is geo-referenced; else None."""
        return self._dataset if self._dataset.crs is not None and not self._dataset.transform.is_identity else None

    def close(self) -> None:
        """Close the dataset after a read that is under way: GDAL may not be closed during one."""
        with self._lock:
            self._closed = True
            self._stack.close()

    def read(self, window: Window) -> Patch:
        """The pixels of a window."""
        with self._lock:
            if self._closed:
                raise ImageError(f"{self.info.name}: was closed while it was being read")
            return self._read(window)

    def _read(self, window: Window) -> Patch:
        top, left, height, width = window
        rows_columns = ((top, top + height), (left, left + width))
        try:
            bands = self._dataset.read([*self._bands, *self._alpha], window=rows_columns)
            mask = self._dataset.dataset_mask(window=rows_columns) != 0 if self._has_mask else None
            mask = intersection(mask, self._written(window))
        except Exception as error:  # rasterio's own, of many kinds
            raise ImageError(
                f"{self.info.name}: cannot be read at row {top}, column {left} ({error.__cause__ or error}); the file "
                "is damaged, so copy or save it again"
            ) from None
        pixels = np.ascontiguousarray(bands.transpose(1, 2, 0))
        if self._alpha:
            mask = intersection(mask, pixels[..., -1] != 0)
            pixels = on_black(pixels) if pixels.dtype.kind == "u" else pixels[..., :-1]
        valid = intersection(valid_mask(pixels, self._no_data), mask)
        return Patch(to_ints(pixels, valid, self.info.name), none_if_all(valid))

    def _written(self, window: Window) -> Bools | None:
        """False in blocks of a TIFF that were never written, or whose offset is lost: they read as zeros."""
        if not self._by_blocks:
            return None
        rows, columns = self._blocks
        valid: Bools | None = None
        for i in range(window.top // rows, (window.top + window.height - 1) // rows + 1):
            for j in range(window.left // columns, (window.left + window.width - 1) // columns + 1):
                if self._dataset.get_tag_item(f"BLOCK_SIZE_{j}_{i}", "TIFF", bidx=1):
                    continue
                valid = np.ones((window.height, window.width), bool) if valid is None else valid
                block_rows = slice(max(0, i * rows - window.top), max(0, (i + 1) * rows - window.top))
                block_columns = slice(max(0, j * columns - window.left), max(0, (j + 1) * columns - window.left))
                valid[block_rows, block_columns] = False
        return valid


def _opened(stack: ExitStack, source: Any, driver: str, name: str) -> Any:
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning
    except ImportError:
        raise ImageError(f'{name}: JPEG 2000 needs rasterio: pip install "daad[scenes]"') from None
    stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_MEGABYTES, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return stack.enter_context(rasterio.open(source, driver=driver))
    except Exception as error:
        raise ImageError(f"{name}: cannot be opened ({error}); the file is damaged, so copy or save it again") from None


def _validated_info(dataset: Any, bands: list[int], name: str) -> ImageInfo:
    kinds = sorted({str(dataset.dtypes[band - 1]) for band in bands})
    if not bands or len(bands) > MAX_CHANNELS:
        raise ImageError(f"{name}: has {len(bands)} bands beside alpha, and 1 to {MAX_CHANNELS} are read")
    if len(kinds) > 1 or kinds[0] not in TYPES:
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
