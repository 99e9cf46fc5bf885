"""Synthetic defects for training: a network that must give back the clean image learns not to rebuild what is foreign.

Source: our addition to the papers; in the spirit of denoising autoencoders (Vincent et al., 2008) and of defects pasted
or painted on good images (Collin & De Vleeschouwer, 2021; Zavrtanik et al., DRAEM, 2021). Shapes and shares are ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_AREA, LARGEST_AREA = 0.005, 0.1  # share of the image, drawn evenly in its logarithm
COARSEST_GRID, FINEST_GRID = 1, 5  # powers of two: cells of the noise along a side
WEAKEST, LARGEST_SHIFT = 0.3, 0.4


def corrupt(images: Tensor, share: float) -> Tensor:
    """A copy of images (B, C, H, W) in [0, 1] in which a `share` of them, by chance, has a defect.

    A defect is a stain of random shape that lets through, at 0.3 to 1 of full strength, a piece of another image of the
    batch, one flat colour, or the image itself brightened or darkened. Random numbers come from torch's generator.
    With a share of 0 the images themselves are given back, and no random number is drawn.
    """
    if share == 0:
        return images
    count, device = len(images), images.device
    kind = torch.randint(3, (count, 1, 1, 1), device=device)
    colour = torch.rand(count, images.shape[1], 1, 1, device=device)
    shift = LARGEST_SHIFT * (2 * torch.rand(count, images.shape[1], 1, 1, device=device) - 1)
    painted = torch.where(kind == 1, colour.expand_as(images), (images + shift).clamp(0, 1))
    content = torch.where(kind == 0, _elsewhere(images), painted)
    strength = WEAKEST + (1 - WEAKEST) * torch.rand(count, 1, 1, 1, device=device)
    hit = torch.rand(count, 1, 1, 1, device=device) < share
    return torch.lerp(images, content, stains(images) * strength * hit)


def stains(images: Tensor) -> Tensor:
    """Masks (B, 1, H, W) of 0 and 1, one for each image: where smooth noise is highest."""
    count, _, height, width = images.shape
    rows, columns = (2 ** int(torch.randint(COARSEST_GRID, FINEST_GRID + 1, ())) for _ in range(2))
    noise = torch.randn(count, 1, min(rows, height), min(columns, width), device=images.device)
    smooth = F.interpolate(noise, size=(height, width), mode="bilinear", align_corners=True)
    ratio = LARGEST_AREA / SMALLEST_AREA
    area = SMALLEST_AREA * ratio ** torch.rand(count, device=images.device)
    position = (area * height * width).long().clamp(1, height * width - 1)
    levels = smooth.flatten(1).sort(dim=1, descending=True).values.gather(1, position[:, None])
    return (smooth > levels[:, :, None, None]).to(images.dtype)


def _elsewhere(images: Tensor) -> Tensor:
    """Each image's place taken by another of the batch, shifted round its borders."""
    height, width = images.shape[-2:]
    shift = (int(torch.randint(height, ())), int(torch.randint(width, ())))
    return images[torch.randperm(len(images), device=images.device)].roll(shift, dims=(2, 3))
