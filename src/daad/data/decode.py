"""Decode any image source to (H, W, C) pixels; hostile, damaged and odd files give one clear ImageError."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from daad.data.arrays import ImageInfo, Pixels
from daad.data.pillow_reader import FORMATS, PillowReader
from daad.data.sample import ImageSource, Sample
from daad.data.sources import MAX_PIXELS, default_name, opened
from daad.errors import ImageError

__all__ = ["EXTENSIONS", "FORMATS", "MAX_PIXELS", "ImageInfo", "decode", "decode_mask", "is_image_path", "probe"]

EXTENSIONS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".npy", ".jp2", ".j2k")
_ASPECT_TOLERANCE = 0.02


def is_image_path(path: str | Path) -> bool:
    """Whether a file's extension is one that daad reads; the file is not opened."""
    return Path(path).suffix.lower() in EXTENSIONS


def decode(source: ImageSource | str, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode one image to an array of shape (H, W, C), C >= 1, uint8 or uint16, C-contiguous.

    `source` is a path, the bytes of a file, a PIL image or an array; `name` is what errors call it. Rules:

    - Formats: PNG, JPEG, BMP, TIFF, WebP and .npy, recognised by content. The first of several frames or pages is read.
    - `max_pixels` caps height * width, and 4 * max_pixels caps all samples, before anything is decoded (arrays
      in memory are not capped). A truncated file is refused, never padded.
    - EXIF orientation is applied. 1 bit becomes 0/255 grey; a palette, CMYK, YCbCr and LAB become RGB.
    - Alpha (also of a palette, or a PNG's one transparent colour) is composited on black. The hidden colour of a
      transparent pixel does not matter, and full opacity gives the colour itself. Grey stays one channel.
    - 16-bit grey, 16-bit colour PNG and 16-bit colour TIFF stay 16 bits; 32-bit integers are read if they lie in
      0..65535; 16-bit CMYK TIFF is read at 8 bits; floating-point TIFF is refused.
    - TIFF with other channels than grey, RGB and alpha keeps all of them. Such TIFF and 16-bit colour TIFF need the
      extra `daad[tiff]`.
    - Arrays and .npy: (H, W) or (H, W, C) with C <= 64. uint8 and uint16 are kept (the result may share memory), bool
      becomes 0/255. Floats must be finite and in [0, 1] and become round(x * 65535) as uint16. The rest is refused.

    Raises ImageError, which names the image, says what was found and what to do.
    """
    with opened(source, name, max_pixels) as reader:
        return reader.read()


def opacity(source: ImageSource | str, name: str, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.bool_] | None:
    """Where an image is not fully transparent, (H, W), oriented as by `decode`; None for one without transparency.

    Raises ImageError.
    """
    with opened(source, name, max_pixels) as reader:
        return reader.opacity() if isinstance(reader, PillowReader) else None


def probe(sample: Sample, *, max_pixels: int = MAX_PIXELS) -> ImageInfo:
    """Height, width, channels and dtype that `decode` will give for a sample, from its header alone.

    Raises ImageError where the header already shows that the image cannot be used.
    """
    with opened(sample.image, sample.name, max_pixels) as reader:
        return reader.info


def decode_mask(
    source: ImageSource | str, *, shape: tuple[int, int], name: str | None = None, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.bool_]:
    """Decode a ground-truth mask to bool (H, W): True where any channel is not zero.

    Args:
        source: as in `decode`; arrays may be of any number type.
        shape: (H, W) of the image. A mask of another size but the same aspect ratio (within 2 %) is resized, nearest
            neighbour.
        name: what errors call the mask.
        max_pixels: as in `decode`.

    Raises:
        ImageError: the mask cannot be decoded, or has another aspect ratio.
    """
    name = name or default_name(source)
    if isinstance(source, np.ndarray):
        mask = _mask_of_array(source, name)
    else:
        mask = _any_channel(decode(source, name=name, max_pixels=max_pixels) != 0)
    if mask.shape == shape:
        return mask
    (height, width), (target_height, target_width) = mask.shape, shape
    if abs(width * target_height / (height * target_width) - 1) > _ASPECT_TOLERANCE:
        raise ImageError(
            f"{name}: the mask is {width}x{height} and its image {target_width}x{target_height}, which is another "
            "aspect ratio; give the mask of this image"
        )
    resized = Image.fromarray(mask.astype(np.uint8)).resize((target_width, target_height), Image.Resampling.NEAREST)
    return np.asarray(resized).astype(np.bool_)


def _mask_of_array(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.bool_]:
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "biuf":
        raise ImageError(
            f"{name}: a mask is an array of numbers (H, W) or (H, W, C); found {array.dtype} {array.shape}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ImageError(f"{name}: the mask holds NaN or infinite values; use 0 for normal and 1 for anomalous")
    return _any_channel(array != 0)


def _any_channel(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    return mask if mask.ndim == 2 else np.logical_or.reduce(mask, axis=2)
