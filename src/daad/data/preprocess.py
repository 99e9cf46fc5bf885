"""Preprocess: how a decoded image becomes the input of a model. Saved as data; this is its only implementation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, field_validator

from daad.data.arrays import MAX_CHANNELS, ImageInfo, Pixels
from daad.data.tiles import Tiling
from daad.errors import ConfigError, DataError, ImageError

MAX_SIDE = 8192
MAX_ASPECT = 4.0
Interpolation = Literal["box", "bilinear", "bicubic", "lanczos"]
_FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Preprocess(BaseModel):
    """Crop, channel rule, depth and size that are applied to every image alike.

    Args:
        height: of the result, in pixels.
        width: of the result, in pixels.
        channels: of the result, at least 1.
        dtype: the depth of the result.
        interpolation: the filter of the resize.
        crop: (left, top, right, bottom) in fractions of the image, in [0, 1]; None: the complete image.
        tiles: an image is cut into these first, and every tile is preprocessed; None: it is not cut.

    Raises:
        ValidationError: pydantic's, a ValueError: a field is out of range or unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(ge=1, le=MAX_SIDE)
    width: int = Field(ge=1, le=MAX_SIDE)
    channels: int = Field(ge=1, le=MAX_CHANNELS)
    dtype: Literal["uint8", "uint16"] = "uint8"
    interpolation: Interpolation = "bilinear"
    crop: tuple[float, float, float, float] | None = None
    tiles: Tiling | None = None

    @field_validator("crop")
    @classmethod
    def _crop_is_a_box(cls, crop: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if crop is not None and not (0 <= crop[0] < crop[2] <= 1 and 0 <= crop[1] < crop[3] <= 1):
            raise ValueError("crop is (left, top, right, bottom) in fractions of the image, 0 <= left < right <= 1")
        return crop

    def apply(self, image: Pixels, *, name: str = "image") -> Pixels:
        """Bring an image (H, W, C) uint8 or uint16 to (height, width, channels) of `dtype`.

        In this order: crop; channels (1 to 3 repeats grey, 3 to 1 is ITU-R 601 luma); depth (8 to 16 bits is x * 257,
        16 to 8 bits is x / 257 rounded); antialiased resize. Pure: the result depends on the image alone.
        Raises ImageError if the image has another number of channels or is no image.
        """
        if image.ndim != 3 or image.size == 0 or image.dtype not in (np.uint8, np.uint16):
            raise ImageError(
                f"{name}: expected (H, W, C) pixels of uint8 or uint16, found {image.dtype} of shape {image.shape}; "
                "bring it there with daad.data.decode.decode"
            )
        left, top, right, bottom = self.crop_box(image.shape[0], image.shape[1])
        pixels = _with_channels(image[top:bottom, left:right], self.channels, name)
        return _resized(_with_depth(pixels, self.dtype), self.height, self.width, _FILTERS[self.interpolation])

    def crop_box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """The crop of an image (height, width) in integer pixels (left, top, right, bottom); never empty."""
        from_left, from_top, to_right, to_bottom = self.crop or (0.0, 0.0, 1.0, 1.0)
        left, right = _span(from_left, to_right, width)
        top, bottom = _span(from_top, to_bottom, height)
        return left, top, right, bottom

    def map_to_image(
        self, anomaly_map: npt.NDArray[np.float32], image_shape: tuple[int, int]
    ) -> npt.NDArray[np.float32]:
        """Resize a map (h, w) to the image it was computed for, as float32 of `image_shape` (H, W), bilinear.

        Outside the crop nothing was scored, and the map is 0.
        """
        height, width = image_shape
        left, top, right, bottom = self.crop_box(height, width)
        full = np.zeros((height, width), np.float32)
        full[top:bottom, left:right] = resize_map(anomaly_map, (bottom - top, right - left))
        return full

    @classmethod
    def for_images(
        cls,
        images: Sequence[ImageInfo],
        image_size: int | Sequence[int],
        multiple: int = 16,
        *,
        interpolation: Interpolation = "bilinear",
        crop: tuple[float, float, float, float] | None = None,
        tiles: Tiling | None = None,
    ) -> Self:
        """Derive the spec from the training images.

        Channels: 1 if all images have 1, 3 for any mix of 1 and 3, else the common number. Depth: uint16 if any image
        is.

        Args:
            images: as `daad.data.decode.probe` describes them.
            image_size: (height, width) in pixels, or the short side. The long side then follows the median aspect ratio
                (of the crop, at most 4:1).
            multiple: the long side is rounded to a multiple of it.
            interpolation: the filter of the resize.
            crop: (left, top, right, bottom) in fractions of the image, in [0, 1].
            tiles: the shape is then that of a tile.

        Raises:
            DataError: there is no image, or channels differ.
            ConfigError: `image_size` or `multiple` is out of range.
        """
        if not images:
            raise DataError("no image to derive the preprocessing from; give at least one that can be read")
        if tiles is not None:
            images = [image._replace(height=tiles.height, width=tiles.width) for image in images]
        boxes = [cls(height=1, width=1, channels=1, crop=crop).crop_box(i.height, i.width) for i in images]
        log_aspects = [math.log(right - left) - math.log(bottom - top) for left, top, right, bottom in boxes]
        height, width = _size(image_size, statistics.median(log_aspects), multiple)
        return cls(
            height=height,
            width=width,
            channels=_common_channels(images),
            dtype="uint16" if any(i.dtype == "uint16" for i in images) else "uint8",
            interpolation=interpolation,
            crop=crop,
            tiles=tiles,
        )


def to_float(batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Turn a batch (N, H, W, C) of uint8 or uint16 into float32 (N, C, H, W) in [0, 1], dividing by 255 or 65535."""
    if batch.ndim != 4 or batch.dtype not in (np.uint8, np.uint16):
        raise ImageError(
            f"expected a batch (N, H, W, C) of uint8 or uint16, found {batch.dtype} of shape {batch.shape}"
        )
    white = np.float32(np.iinfo(batch.dtype).max)
    channels_first = np.ascontiguousarray(batch.transpose(0, 3, 1, 2), dtype=np.float32)
    channels_first /= white
    return channels_first


def resize_map(anomaly_map: npt.NDArray[np.float32], shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Resize a map (h, w) to `shape` (H, W) as float32, bilinear."""
    plane = Image.fromarray(np.ascontiguousarray(anomaly_map, dtype=np.float32))
    return np.array(plane.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def _span(start: float, end: float, length: int) -> tuple[int, int]:
    first = min(round(start * length), length - 1)
    return first, max(round(end * length), first + 1)


def _with_channels(pixels: Pixels, channels: int, name: str) -> Pixels:
    image_channels = pixels.shape[2]
    if image_channels == channels:
        return pixels
    if (image_channels, channels) == (1, 3):
        return np.repeat(pixels, 3, axis=2)
    if (image_channels, channels) == (3, 1):
        return _luma(pixels)
    raise ImageError(
        f"{name}: has {image_channels} channels, and {channels} are expected; give images of the kind the detector "
        "learned from"
    )


def _luma(pixels: Pixels) -> Pixels:
    """ITU-R 601 luma, (0.299, 0.587, 0.114) in 16-bit fixed point as Pillow does; white stays white at both depths."""
    wide = pixels.astype(np.uint32)
    total = wide[..., 0] * 19595 + wide[..., 1] * 38470 + wide[..., 2] * 7471 + 0x8000
    return (total >> 16).astype(pixels.dtype)[:, :, None]


def _with_depth(pixels: Pixels, dtype: str) -> Pixels:
    if pixels.dtype == dtype:
        return pixels
    if dtype == "uint16":
        return pixels.astype(np.uint16) * 257
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _resized(pixels: Pixels, height: int, width: int, kernel: Image.Resampling) -> Pixels:
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.array(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), kernel))
    planes = [_resized_plane(pixels[..., c], height, width, kernel) for c in range(pixels.shape[2])]
    return np.stack(planes, axis=2)


def _resized_plane(plane: Pixels, height: int, width: int, kernel: Image.Resampling) -> Pixels:
    if plane.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), kernel))
    wide = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32)).resize((width, height), kernel)
    rounded: Pixels = np.clip(np.rint(np.asarray(wide)), 0, 65535).astype(np.uint16)
    return rounded


def _common_channels(images: Sequence[ImageInfo]) -> int:
    by_channels: dict[int, ImageInfo] = {}
    for image in images:
        by_channels.setdefault(image.channels, image)
    if set(by_channels) <= {1, 3}:
        return max(by_channels)
    if len(by_channels) == 1:
        return images[0].channels
    one, other = list(by_channels.values())[:2]
    raise DataError(
        f"images differ in channels: {one.name} has {one.channels}, {other.name} has {other.channels}; train on images "
        "of one kind (grey and RGB may be mixed)"
    )


def _size(image_size: int | Sequence[int], log_aspect: float, multiple: int) -> tuple[int, int]:
    """(height, width); `log_aspect` is log(width / height), so that transposed images give the transposed size."""
    is_pair = isinstance(image_size, list | tuple)
    sides: list[Any] = list(image_size) if isinstance(image_size, list | tuple) else [image_size]
    if len(sides) != 1 + is_pair or not all(map(_is_side, sides)) or multiple < 1:
        raise ConfigError(
            f"image_size={image_size!r}, multiple={multiple}: give the short side or (height, width), each a whole "
            f"number from 1 to {MAX_SIDE}, and a multiple of at least 1"
        )
    short = int(sides[0])
    if is_pair:
        return short, int(sides[1])
    exact = short * round(math.exp(min(abs(log_aspect), math.log(MAX_ASPECT))), 9)
    rounded = min(math.floor(exact / multiple + 0.5) * multiple, MAX_SIDE)
    is_square = exact - short <= abs(rounded - exact) or rounded < short  # a square may have any size
    long = short if is_square else rounded
    return (short, long) if log_aspect > 0 else (long, short)


def _is_side(side: Any) -> bool:
    is_integer = isinstance(side, int | np.integer) and not isinstance(side, bool)
    return is_integer and 1 <= side <= MAX_SIDE
