"""Images that Pillow reads: one allow-list of formats, and one rule for every Pillow mode to become pixels."""

from __future__ import annotations

import warnings
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import (  # imported for what they register: these five and no other format can ever be opened
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from daad.data.arrays import Depth, ImageInfo, Pixels, float_pixels, on_black, orient
from daad.errors import ImageError

_PLUGINS = (BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
ORIENTATION = 0x0112
JP2_MAGIC = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
MAX_JUNK = 65_536  # bytes between two markers of a JPEG
# Pillow decodes 16-bit colour PNG to 8 bits; with these raw modes it gives the high and the low bytes.
_DEEP_PNG = {"RGB;16B": ("RGB;16B", "RGB;16L"), "RGBA;16B": ("RGBA;16B", "RGBA;16L"), "LA;16B": ("RGBA",)}
_TO_RGB = ("CMYK", "YCbCr", "LAB", "HSV", "RGBX")
_CHANNELS = {"1": 1, "L": 1, "LA": 1, "La": 1, "I": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3, "RGBa": 3}


def open_with_pillow(stream: IO[bytes], name: str) -> Image.Image:
    """Read the header of an image file in one of FORMATS; no pixel is decoded.

    Goes to Pillow's plugins directly, since `Image.open` checks the size against a limit that is global to the process.
    """
    stream.seek(0)
    prefix = stream.read(16)
    for candidate in FORMATS:
        factory, accept = Image.OPEN[candidate]
        if accept is None or accept(prefix) is True:
            stream.seek(0)
            limited: Any = _JunkLimit(stream, name) if candidate == "JPEG" else stream
            return factory(limited, "")
    if prefix.startswith(JP2_MAGIC):
        raise ImageError(f"{name}: JPEG 2000 is read by tiles alone: fit with --tile, or use daad search")
    raise ImageError(
        f"{name}: is not an image that daad reads (it starts with {prefix!r}); give a PNG, JPEG, BMP, TIFF, WebP "
        "or .npy file, whatever its extension says"
    )


class _JunkLimit:
    """A JPEG's stream with limited junk between markers: Pillow searches for the next one byte by byte to the end."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream, self._name, self._single_reads = stream, name, 0

    def read(self, size: int = -1) -> bytes:
        self._single_reads += size == 1
        if self._single_reads > MAX_JUNK:
            raise ImageError(f"{self._name}: no JPEG marker in {MAX_JUNK:,} bytes; the file is damaged, save it again")
        return self._stream.read(size)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._stream, attribute)


class PillowReader:
    """A Pillow image, opened from a stream (which allows 16-bit colour PNG) or given by the user."""

    def __init__(self, image: Image.Image, name: str, stream: IO[bytes] | None = None) -> None:
        self._image, self._stream = image, stream
        self._raw_mode = _raw_mode(image)
        self._deep = _DEEP_PNG.get(self._raw_mode, ()) if stream is not None and image.format == "PNG" else ()
        self.info = self._describe(name)

    def _describe(self, name: str) -> ImageInfo:
        image = self._image
        if image.mode == "F":
            raise float_pixels(name)
        channels = _CHANNELS.get("I" if image.mode.startswith("I;16") else image.mode, 3)
        depth: Depth = "uint16" if self._deep or image.mode.startswith("I") else "uint8"
        width, height = image.size
        if image.format != "TIFF" and _orientation(image) in (5, 6, 7, 8):  # Pillow rotates TIFF itself
            width, height = height, width
        if self._raw_mode == "LA;16B":
            channels = 1
        return ImageInfo(height, width, channels, depth, name)

    def read(self) -> Pixels:
        _load(self._image)
        pixels = self._read_deep() if self._deep else _pixels(self._image, self.info.name)
        pixels = _blacken_key_colour(pixels, self._image, self._raw_mode)
        pixels = orient(pixels, _orientation(self._image))
        return np.ascontiguousarray(pixels)

    def opacity(self) -> npt.NDArray[np.bool_] | None:
        """False where the image is fully transparent, (H, W); None for an image without transparency."""
        image = self._image
        if not image.has_transparency_data or image.mode.startswith("I"):
            return None
        _load(image)
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))[:, :, None]
        opaque: npt.NDArray[np.bool_] = orient(alpha, _orientation(image))[..., 0] != 0
        return opaque

    def _read_deep(self) -> Pixels:
        assert self._stream is not None
        planes = [_unpacked(self._stream, raw_mode, self.info.name) for raw_mode in self._deep]
        if len(planes) == 1:  # grey + alpha: the four bytes of a pixel come as if they were R, G, B, A
            high, low = planes[0][..., 0::2], planes[0][..., 1::2]
        else:
            high, low = planes
        pixels = high.astype(np.uint16) << 8 | low
        return pixels if pixels.shape[2] == 3 else on_black(pixels)


def _raw_mode(image: Image.Image) -> str:
    tile = getattr(image, "tile", None)
    arguments = tile[0].args if tile else ""
    return arguments if isinstance(arguments, str) else ""


def _orientation(image: Image.Image) -> int:
    try:
        return int(Image.Image.getexif(image).get(ORIENTATION) or 1)  # the PNG override would decode the image
    except Exception:  # a broken EXIF block says nothing about the pixels
        return 1


def _load(image: Image.Image) -> None:
    if image.width * image.height <= (Image.MAX_IMAGE_PIXELS or float("inf")):
        image.load()
        return
    with warnings.catch_warnings():  # `max_pixels` was checked already
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image.load()


def _unpacked(stream: IO[bytes], raw_mode: str, name: str) -> Pixels:
    image: Any = open_with_pillow(stream, name)
    image.tile = [image.tile[0]._replace(args=raw_mode)]
    image.load()
    return np.asarray(image)


def _pixels(image: Image.Image, name: str) -> Pixels:
    mode = image.mode
    if mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif mode in _TO_RGB:
        image = image.convert("RGB")
    elif mode not in _CHANNELS and not mode.startswith("I;16"):
        raise ImageError(f"{name}: Pillow mode {mode} is not read; convert the image to grey, RGB or 16-bit grey")
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if mode == "1":
        return pixels.astype(np.uint8) * 255
    if mode.startswith("I"):
        return _to_uint16(pixels, name)
    if image.mode in ("LA", "RGBA"):
        return on_black(pixels)
    return pixels[..., :-1] if mode in ("La", "RGBa") else pixels  # premultiplied alpha: on black already


def _to_uint16(pixels: Pixels, name: str) -> Pixels:
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65535:
        raise ImageError(
            f"{name}: integer pixels reach from {low} to {high}, and 0..65535 can be kept; save it as 16-bit grey"
        )
    return pixels.astype(np.uint16)


def _blacken_key_colour(pixels: Pixels, image: Image.Image, raw_mode: str) -> Pixels:
    """Make the one transparent colour that a PNG without alpha may name (its tRNS chunk) black."""
    key = image.info.get("transparency")
    if key is None or isinstance(key, bytes) or image.mode not in ("1", "L", "I;16", "RGB"):
        return pixels
    scale = {"L;2": 85, "L;4": 17}.get(raw_mode, 1)  # grey of 2 and 4 bits is stretched to 0..255, its key is not
    transparent = (pixels == np.asarray(key) * scale).all(axis=2, keepdims=True)
    return np.where(transparent, 0, pixels).astype(pixels.dtype)
