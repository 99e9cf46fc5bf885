"""Random views of images for contrastive learning. Random numbers come from torch's generator."""

from __future__ import annotations

import kornia.augmentation as augmentation
import torch
from torch import Tensor, nn

BLUR_KERNEL = 3
BLUR_SIGMA = (0.1, 2.0)
JITTER_SHARE = 0.8  # share of the views whose brightness and contrast are changed
HUE = 0.25  # range of the hue, in units of `jitter`
GREY_SHARE = 0.2  # share of colour views that are made grey
SMALLEST_HOLE, LARGEST_HOLE = 0.002, 0.086  # shares of the area; the largest is 75 x 75 of 256 x 256 pixels
HOLE_ASPECT = (0.5, 2.0)


class RandomViews(nn.Module):
    """Images (B, C, H, W) in [0, 1] -> one random view of every image, of the same size.

    A view is a random crop, resized to full size, with the augmentations that are switched on.

    Args:
        height: H of the images.
        width: W of the images.
        smallest_crop: smallest share of the area that a crop shows; the largest is 1.
        flip: mirror half of the views.
        blur: blur half of the views.
        jitter: largest relative change of brightness and contrast, for four views in five; 0: none.
        colour: change saturation and hue too, and make one view in five grey; for three channels only.
        erase: cut a hole into every view.
    """

    def __init__(
        self,
        height: int,
        width: int,
        smallest_crop: float,
        flip: bool,
        *,
        blur: bool = False,
        jitter: float = 0.0,
        colour: bool = False,
        erase: bool = False,
    ) -> None:
        super().__init__()
        steps: list[nn.Module] = [
            augmentation.RandomResizedCrop((height, width), scale=(smallest_crop, 1.0), cropping_mode="resample")
        ]
        if blur:
            steps.append(augmentation.RandomGaussianBlur((BLUR_KERNEL, BLUR_KERNEL), BLUR_SIGMA, p=0.5))
        if flip:
            steps.append(augmentation.RandomHorizontalFlip(p=0.5))
        if jitter:
            steps.append(BrightnessContrast(jitter))
        if colour:
            steps.append(SaturationHue(jitter))
        if erase:
            steps.append(augmentation.RandomErasing((SMALLEST_HOLE, LARGEST_HOLE), HOLE_ASPECT, p=1.0))
        self.steps = nn.Sequential(*steps)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        views: Tensor = self.steps(images)
        return views.to(images.dtype)


class BrightnessContrast(nn.Module):
    """Scale brightness and contrast of four images in five by 1 - `jitter` to 1 + `jitter`; any number of channels."""

    def __init__(self, jitter: float) -> None:
        super().__init__()
        self.jitter = jitter

    def forward(self, images: Tensor) -> Tensor:
        shape = (len(images), 1, 1, 1)
        jittered = (torch.rand(shape, device=images.device) < JITTER_SHARE).to(images.dtype)
        brightness, contrast = (
            1 + jittered * self.jitter * (2 * torch.rand(shape, device=images.device) - 1) for _ in range(2)
        )
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        return (((images - mean) * contrast + mean) * brightness).clamp(0, 1)


class SaturationHue(nn.Module):
    """Change saturation and hue of images with three channels, and make some grey; others are left as they are."""

    def __init__(self, jitter: float) -> None:
        super().__init__()
        self.steps = nn.Sequential(
            augmentation.ColorJitter(0.0, 0.0, jitter, HUE * jitter, p=JITTER_SHARE),
            augmentation.RandomGrayscale(p=GREY_SHARE),
        )

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] != 3:
            return images
        views: Tensor = self.steps(images)
        return views
