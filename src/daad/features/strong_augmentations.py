"""Strong augmentations a_0 to a_3: they turn one distribution of images into four, which a network classifies.

Source: CCD (Tian et al., MICCAI 2021), section 2, and the authors' released code, which chose cutperm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Strong = Literal["cutperm", "rotate", "cutout", "noise"]
CLASSES = 4
HOLE = 4  # the side of a hole is the short side divided by this
VARIANCE = 0.05


def distributions(images: Tensor, kind: Strong) -> Tensor:
    """Images (B, C, H, W) in [0, 1] -> (4, B, C, H, W): a_k of every image at index k; a_0 is the identity."""
    return torch.stack([AUGMENTATIONS[kind](images, k) for k in range(CLASSES)])


def cut_and_permute(images: Tensor, k: int) -> Tensor:
    """k // 2 swaps the upper and the lower half, k % 2 the left and the right. On even sides it is its own inverse."""
    height, width = images.shape[-2:]
    return images.roll((k // 2 * (height // 2), k % 2 * (width // 2)), dims=(2, 3))


def rotate(images: Tensor, k: int) -> Tensor:
    """k quarter turns; an image that is not square is resized to its shape."""
    rotated = torch.rot90(images, k, dims=(2, 3))
    if rotated.shape == images.shape:
        return rotated
    return F.interpolate(rotated, images.shape[-2:], mode="bilinear", align_corners=False)


def cut_out(images: Tensor, k: int) -> Tensor:
    """k square holes of a quarter of the short side, at random positions, in the image's mean colour."""
    count, _, height, width = images.shape
    side = max(1, min(height, width) // HOLE)
    erased, mean = images, images.mean(dim=(2, 3), keepdim=True)
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    for _ in range(k):
        top = torch.randint(height - side + 1, (count, 1), device=images.device)
        left = torch.randint(width - side + 1, (count, 1), device=images.device)
        hole_rows = (rows >= top) & (rows < top + side)  # (B, H)
        hole_columns = (columns >= left) & (columns < left + side)  # (B, W)
        erased = torch.where((hole_rows[:, :, None] & hole_columns[:, None, :])[:, None], mean, erased)
    return erased


def add_noise(images: Tensor, k: int) -> Tensor:
    """No noise, Gaussian or speckle noise of variance 0.05, or one pixel in twenty black or white."""
    if k == 0:
        return images
    if k == 3:
        uniform = torch.rand_like(images[:, :1])
        peppered = torch.where(uniform < VARIANCE / 2, torch.zeros_like(images), images)
        return torch.where(uniform > 1 - VARIANCE / 2, torch.ones_like(images), peppered)
    noise = VARIANCE**0.5 * torch.randn_like(images)
    noisy: Tensor = images + (noise if k == 1 else images * noise)
    return noisy.clamp(0, 1)


AUGMENTATIONS: dict[Strong, Callable[[Tensor, int], Tensor]] = {
    "cutperm": cut_and_permute,
    "rotate": rotate,
    "cutout": cut_out,
    "noise": add_noise,
}
