"""Images that tests make for themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Ints = npt.NDArray[Any]


def striped(count: int, height: int, width: int, channels: int, *, seed: int = 0, dtype: str = "uint8") -> Ints:
    """Good images (count, height, width, channels): soft stripes of a random phase, with a little noise."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1, 1))
    across = np.arange(width)[None, None, :, None] / width
    tint = np.linspace(0.8, 1.0, channels)[None, None, None, :]
    waves = 0.5 + 0.3 * np.sin(6 * np.pi * across + phase) * tint
    noisy = np.clip(waves + rng.normal(0, 0.02, (count, height, width, channels)), 0, 1)
    return (noisy * np.iinfo(dtype).max).astype(dtype)


def spotted(images: Ints, *, seed: int = 0) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """The same with one bright square each, and where it is (count, height, width)."""
    rng = np.random.default_rng(seed)
    bad, masks = images.copy(), np.zeros(images.shape[:3], dtype=bool)
    for image, mask in zip(bad, masks, strict=True):
        top, left = rng.integers(8, mask.shape[0] - 16), rng.integers(8, mask.shape[1] - 16)
        mask[top : top + 8, left : left + 8] = True
        image[mask] = np.iinfo(images.dtype).max
    return bad, masks


def save_png(path: Path, image: Ints) -> Path:
    """Write (H, W, 1 or 3) uint8 as PNG, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(path)
    return path
