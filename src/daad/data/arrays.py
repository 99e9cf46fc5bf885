"""The one form every image is brought to, (H, W, C) of uint8 or uint16, and how arrays and .npy files reach it."""

from __future__ import annotations

from typing import IO, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from daad.errors import ImageError

Depth = Literal["uint8", "uint16"]
Pixels = npt.NDArray[Any]  # (H, W, C), uint8 or uint16
MAX_CHANNELS = 64
ROUNDING = 1e-6  # how far scaling in floats may leave [0, 1]
NPY_MAGIC = b"\x93NUMPY"


class ImageInfo(NamedTuple):
    """What decoding an image will give: shape (height, width, channels), dtype, and the name to call it by."""

    height: int
    width: int
    channels: int
    dtype: Depth
    name: str = "image"


def array_info(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> ImageInfo:
    """Check shape and dtype of an array, without its values. Raises ImageError."""
    if len(shape) not in (2, 3):
        raise ImageError(
            f"{name}: an array of shape {shape} has {len(shape)} axes; one image is (H, W) or (H, W, C), "
            "and a batch needs 4 axes (N, H, W, C), grey images included (N, H, W, 1)"
        )
    height, width, channels = (*shape, 1) if len(shape) == 2 else shape
    if not height or not width or not channels:
        raise ImageError(f"{name}: an array of shape {shape} holds no pixels; remove it or give a real image")
    if channels > MAX_CHANNELS:
        raise ImageError(
            f"{name}: an array of shape {shape} has {channels} channels, and at most {MAX_CHANNELS} are read; put the "
            "channel axis last (H, W, C), and give a stack of grey images a channel axis (N, H, W, 1)"
        )
    return ImageInfo(height, width, channels, _depth(dtype, name), name)


def _depth(dtype: np.dtype[Any], name: str) -> Depth:
    if dtype.kind == "b" or (dtype.kind == "u" and dtype.itemsize == 1):
        return "uint8"
    if dtype.kind == "f" or (dtype.kind == "u" and dtype.itemsize == 2):
        return "uint16"
    raise ImageError(
        f"{name}: dtype {dtype} says nothing of where white is; convert to uint8 (0..255), uint16 (0..65535), "
        "bool or floats in [0, 1]"
    )


def float_pixels(name: str) -> ImageError:
    """The error for a file of floats: only its maker knows which value is white."""
    return ImageError(
        f"{name}: holds floating-point pixels of unknown range; save it as 16-bit grey, or load it yourself and pass "
        "an array scaled to [0, 1]"
    )


def from_array(array: npt.NDArray[Any], name: str) -> Pixels:
    """Bring an array of shape (H, W) or (H, W, C) to pixels; the result may share memory with it.

    uint8 and uint16 are kept, bool becomes 0/255, floats must be finite and in [0, 1] and become
    round(x * 65535) as uint16. Raises ImageError for anything else.
    """
    array = np.asarray(array)
    info = array_info(array.shape, array.dtype, name)
    array = array.reshape(info.height, info.width, info.channels)
    if array.dtype.kind == "f":
        array = _quantise(array, name)
    elif array.dtype.kind == "b":
        array = array.astype(np.uint8) * 255
    return np.ascontiguousarray(array, dtype=np.dtype(info.dtype))


def _quantise(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint16]:
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(f"{name}: holds NaN or infinite values; replace them before giving the array to daad")
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise ImageError(
            f"{name}: float values reach from {low:g} to {high:g}, outside [0, 1]; scale them by the range of your "
            "sensor (the same for every image), or pass uint8 or uint16"
        )
    exact = np.result_type(array.dtype, np.float32)  # float16 would overflow at 65535
    quantised: npt.NDArray[np.uint16] = np.rint(np.multiply(array.clip(0, 1), 65535, dtype=exact)).astype(np.uint16)
    return quantised


class NpyReader:
    """A .npy file: the header is checked before anything is allocated, and pickled objects are never loaded."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        major, _ = np.lib.format.read_magic(stream)
        if major not in (1, 2):
            raise ImageError(f"{name}: .npy format {major} is not an array of plain numbers; save it with np.save")
        header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(stream)
        self.info = array_info(shape, dtype, name)

    def read(self) -> Pixels:
        self._stream.seek(0)
        return from_array(np.lib.format.read_array(self._stream, allow_pickle=False), self.info.name)


class ArrayReader:
    """An array that is in memory already."""

    def __init__(self, array: npt.NDArray[Any], name: str) -> None:
        self._array = array
        self.info = array_info(array.shape, array.dtype, name)

    def read(self) -> Pixels:
        return from_array(self._array, self.info.name)


def on_black(pixels: Pixels) -> Pixels:
    """Composite pixels whose last channel is alpha on black: round(colour * alpha / white), alpha dropped."""
    white = np.iinfo(pixels.dtype).max
    colour, alpha = pixels[..., :-1], pixels[..., -1:]
    if (alpha == white).all():
        return colour
    product = colour.astype(np.uint32) * alpha + white // 2  # fits: 65535 * 65535 + 32767 < 2 ** 32
    return (product // white).astype(pixels.dtype)


def orient(pixels: Pixels, orientation: int) -> Pixels:
    """Turn stored pixels (H, W, C) upright by an EXIF orientation code 1..8; other codes change nothing."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
