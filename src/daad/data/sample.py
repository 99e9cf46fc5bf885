"""An image before it is decoded: its source and its labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

ImageSource = Path | bytes | npt.NDArray[Any] | Any  # Any: a PIL.Image.Image, without importing Pillow here
Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its labels, as its layout states them.

    Args:
        image: a path, the bytes of a file, an array (H, W[, C]), a tensor (C, H, W), or a PIL image.
        name: what results call it.
        label: 0 for normal, 1 for anomalous, None where unknown.
        mask: the ground truth of an anomalous image: a file, or an array (H, W) where non-zero is anomalous.
        split: train or test; None where the layout does not say.
        group: what must stay on one side of a split, such as a part, a patient, a module.
        defect: the kind of anomaly, "good" for normal images.
    """

    image: ImageSource
    name: str
    label: int | None = None
    mask: Path | np.ndarray[Any, Any] | None = None
    split: Split | None = None
    group: str | None = None
    defect: str | None = None


def printable(path: Path | str) -> str:
    """A path as text that can be written as UTF-8 anywhere: bytes of a file name that are none become `\\udc..`."""
    text = path.as_posix() if isinstance(path, Path) else path
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that could not be used, and the reason."""

    name: str
    reason: str
