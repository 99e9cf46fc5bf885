"""Patches: pieces of an image, and which of their pixels are real."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from daad.data.arrays import ROUNDING, Pixels
from daad.errors import ImageError

Bools = npt.NDArray[np.bool_]


class Patch(NamedTuple):
    """Pixels (h, w, C) of a window, and which of them are real, (h, w), None where all are."""

    pixels: Pixels
    valid: Bools | None


def real(pixels: npt.NDArray[Any], no_data: float | None) -> Bools | None:
    """Where pixels (h, w, C) are numbers, and not `no_data` in every band; None where nothing can be missing."""
    valid = np.isfinite(pixels).all(axis=2) if pixels.dtype.kind == "f" else None
    return both(valid, None if no_data is None else (pixels != no_data).any(axis=2))


def both(valid: Bools | None, other: Bools | None) -> Bools | None:
    """Where both say that there is data."""
    if valid is None or other is None:
        return other if valid is None else valid
    return valid & other


def all_or(valid: Bools | None) -> Bools | None:
    """None where all pixels are real."""
    return None if valid is None or valid.all() else valid


def to_ints(pixels: npt.NDArray[Any], valid: Bools | None, name: str) -> Pixels:
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
