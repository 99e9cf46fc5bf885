"""Pixels without data: which of them are borders and holes, and what stands in for the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from daad.data.patches import Patch

Bools = npt.NDArray[np.bool_]


def broad(missing: Bools) -> Bools:
    """Of missing pixels (h, w) those in areas at least three pixels wide and high: borders and holes, not dead pixels,
    dead lines, or dark spots that happen to have the value for no data."""
    padded = np.pad(missing, 2, mode="edge")
    found: Bools = ndimage.binary_opening(padded, np.ones((3, 3)))[2:-2, 2:-2]
    return found


def filled(pixels: npt.NDArray[Any], valid: Bools) -> npt.NDArray[Any]:
    """Pixels (h, w, C) with what is not `valid` replaced by the nearest pixel that is."""
    rows, columns = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    result: npt.NDArray[Any] = pixels[rows, columns]
    return result


def whole(patch: Patch, max_no_data: float = 0.0) -> npt.NDArray[Any] | None:
    """A patch's pixels with what is missing filled; None where borders or holes are more than this share of it."""
    if patch.valid is None:
        return patch.pixels
    if not patch.valid.any() or float(broad(~patch.valid).mean()) > max_no_data:
        return None
    return filled(patch.pixels, patch.valid)
