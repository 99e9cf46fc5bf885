"""Random views of images for contrastive learning. Random numbers come from torch's generator."""

from __future__ import annotations

import kornia.augmentation as augmentation
import torch
from torch import Tensor, nn

BLUR_KERNEL = 3
BLUR_SIGMA = (0.1, 2.0)


class RandomViews(nn.Module):
    """Images (B, C, H, W) in [0, 1] -> as many views of the same size, each drawn for itself: a crop of
    `smallest_crop` to all of the area, brought back to full size; a blur and, with `flip`, a mirror image, each for
    every other image."""

    def __init__(self, height: int, width: int, smallest_crop: float, flip: bool) -> None:
        super().__init__()
        steps: list[nn.Module] = [
            augmentation.RandomResizedCrop((height, width), scale=(smallest_crop, 1.0), cropping_mode="resample"),
            augmentation.RandomGaussianBlur((BLUR_KERNEL, BLUR_KERNEL), BLUR_SIGMA, p=0.5),
        ]
        if flip:
            steps.append(augmentation.RandomHorizontalFlip(p=0.5))
        self.steps = nn.Sequential(*steps)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        views: Tensor = self.steps(images)
        return views.to(images.dtype)
