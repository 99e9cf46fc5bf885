"""Patches of a scene: their pixels, which of these hold data, and how missing ones are filled."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from daad.data.arrays import ROUNDING, Pixels
from daad.errors import ImageError

Bools = npt.NDArray[np.bool_]


class Patch(NamedTuple):
    """Pixels (h, w, C) of a window, and a mask (h, w) of those that hold data; None where all do."""

    pixels: Pixels
    valid: Bools | None


def valid_mask(pixels: npt.NDArray[Any], no_data: float | None) -> Bools | None:
    """The mask (h, w) of pixels (h, w, C) that hold data: all bands are finite, and one at least is not `no_data`.

    None where no pixel can be missing.
    """
    finite = np.isfinite(pixels).all(axis=2) if pixels.dtype.kind == "f" else None
    return intersection(finite, None if no_data is None else (pixels != no_data).any(axis=2))


def intersection(mask: Bools | None, other: Bools | None) -> Bools | None:
    """The pixels that are valid in both masks; None stands for all."""
    if mask is None or other is None:
        return other if mask is None else mask
    return mask & other


def none_if_all(valid: Bools | None) -> Bools | None:
    """None for a mask of which all pixels are valid."""
    return None if valid is None or valid.all() else valid


def to_ints(pixels: npt.NDArray[Any], valid: Bools | None, name: str) -> Pixels:
    """Turn floats in [0, 1] into 16 bits, and what is not valid into 0; integers are returned as they are."""
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


def large_gaps(missing: Bools) -> Bools:
    """The missing pixels (h, w) in areas at least three pixels wide and high: borders and holes.

    Dead pixels, dead lines and dark spots that happen to have the value for no data are not among them.
    """
    padded = np.pad(missing, 2, mode="edge")
    opened: Bools = ndimage.binary_opening(padded, np.ones((3, 3)))[2:-2, 2:-2]
    return opened


def fill_nearest(pixels: npt.NDArray[Any], valid: Bools) -> npt.NDArray[Any]:
    """Pixels (h, w, C) in which what is not valid is replaced by the nearest valid pixel."""
    rows, columns = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    filled: npt.NDArray[Any] = pixels[rows, columns]
    return filled


def filled_pixels(patch: Patch, max_no_data: float = 0.0) -> npt.NDArray[Any] | None:
    """A patch's pixels with missing ones filled; None where large gaps are more than the share `max_no_data` of it."""
    if patch.valid is None:
        return patch.pixels
    if not patch.valid.any() or float(large_gaps(~patch.valid).mean()) > max_no_data:
        return None
    return fill_nearest(patch.pixels, patch.valid)
