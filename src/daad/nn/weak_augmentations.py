"""Random views of images for contrastive learning. Random numbers come from torch's generator."""

from __future__ import annotations

import kornia.augmentation as augmentation
import torch
from torch import Tensor, nn

BLUR_KERNEL = 3
BLUR_SIGMA = (0.1, 2.0)
JITTERED = 0.8  # share of the views whose light is changed
HUE = 0.25  # range of the hue, in units of `jitter`
GREY = 0.2  # share of coloured views that lose their colour
SMALLEST_HOLE, LARGEST_HOLE = 0.002, 0.086  # shares of the area; the largest is 75 x 75 of 256 x 256 pixels
ELONGATED = (0.5, 2.0)


class RandomViews(nn.Module):
    """Images (B, C, H, W) in [0, 1] -> as many views of the same size, each drawn for itself.

    A crop of `smallest_crop` to all of the area, brought back to full size; with `flip` every other one is mirrored,
    with `blur` every other one blurred; four of five have brightness and contrast changed by up to `jitter`; with
    `colour`, where there are three channels, saturation and hue too, and one in five loses its colour; with `erase` all
    have a hole.
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
            steps.append(Light(jitter))
        if colour:
            steps.append(Colour(jitter))
        if erase:
            steps.append(augmentation.RandomErasing((SMALLEST_HOLE, LARGEST_HOLE), ELONGATED, p=1.0))
        self.steps = nn.Sequential(*steps)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        views: Tensor = self.steps(images)
        return views.to(images.dtype)


class Light(nn.Module):
    """Brightness and contrast of four images in five, each times 1 - `most` to 1 + `most`; any number of channels."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.most = most

    def forward(self, images: Tensor) -> Tensor:
        shape = (len(images), 1, 1, 1)
        changed = (torch.rand(shape, device=images.device) < JITTERED).to(images.dtype)
        brightness, contrast = (
            1 + changed * self.most * (2 * torch.rand(shape, device=images.device) - 1) for _ in range(2)
        )
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        return (((images - mean) * contrast + mean) * brightness).clamp(0, 1)


class Colour(nn.Module):
    """Saturation and hue of images with three channels, and now and then none at all; others are left as they are."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.steps = nn.Sequential(
            augmentation.ColorJitter(0.0, 0.0, most, HUE * most, p=JITTERED), augmentation.RandomGrayscale(p=GREY)
        )

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] != 3:
            return images
        changed: Tensor = self.steps(images)
        return changed
