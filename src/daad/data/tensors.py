"""Torch tensors as images, without importing torch: (C, H, W) and (N, C, H, W), as the field has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from daad.errors import ImageError

COLOURS = (1, 3, 4)  # channels of which the last axis of an image array often has so many


def is_tensor(source: Any) -> bool:
    """Whether a source is a torch tensor."""
    return type(source).__module__.partition(".")[0] == "torch" and hasattr(source, "detach")


def from_tensor(tensor: Any, name: str = "tensor") -> npt.NDArray[Any]:
    """A tensor (H, W), (C, H, W) or (N, C, H, W) as an array with the channels last, on the CPU.

    Raises ImageError for other axes, and where the channels seem to stand last already.
    """
    shape = tuple(tensor.shape)
    if len(shape) not in (2, 3, 4):
        raise ImageError(f"{name}: a tensor of shape {shape} is no image; give (C, H, W), or a batch (N, C, H, W)")
    if len(shape) > 2 and shape[-1] in COLOURS and shape[-3] not in COLOURS:
        order = "2, 0, 1" if len(shape) == 3 else "0, 3, 1, 2"
        raise ImageError(
            f"{name}: tensors are read as (C, H, W) or (N, C, H, W), and one of shape {shape} seems to have its "
            f"channels last; give tensor.permute({order}), or tensor.numpy()"
        )
    values = tensor.detach().cpu()
    if "bfloat16" in str(tensor.dtype):  # NumPy has no such type
        values = values.float()
    array: npt.NDArray[Any] = values.numpy()
    return array if array.ndim == 2 else np.moveaxis(array, -3, -1)
