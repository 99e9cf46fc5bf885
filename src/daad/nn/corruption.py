"""Synthetic defects for training: a network that must return the clean image learns not to reconstruct defects.

Source: our addition to the papers; in the spirit of denoising autoencoders (Vincent et al., 2008) and of defects pasted
or painted on good images (Collin & De Vleeschouwer, 2021; Zavrtanik et al., DRAEM, 2021). Shapes and shares are ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_AREA, LARGEST_AREA = 0.005, 0.1  # share of the image, log-uniform
COARSEST_GRID, FINEST_GRID = 1, 5  # powers of two: cells of the noise along a side
LOWEST_OPACITY, LARGEST_SHIFT = 0.3, 0.4


def corrupt(images: Tensor, share: float) -> Tensor:
    """A copy of images (B, C, H, W) in [0, 1] in which a random `share` of them has a defect.

    A defect fills a mask of random shape, blended in with an opacity of 0.3 to 1. Its content is a piece of another
    image of the batch, one flat colour, or the image itself brightened or darkened. Random numbers come from torch's
    generator. With a share of 0 the images themselves are returned, and no random number is drawn.
    """
    if share == 0:
        return images
    count, device = len(images), images.device
    kind = torch.randint(3, (count, 1, 1, 1), device=device)
    colour = torch.rand(count, images.shape[1], 1, 1, device=device)
    shift = LARGEST_SHIFT * (2 * torch.rand(count, images.shape[1], 1, 1, device=device) - 1)
    painted = torch.where(kind == 1, colour.expand_as(images), (images + shift).clamp(0, 1))
    content = torch.where(kind == 0, _shuffled_and_rolled(images), painted)
    opacity = LOWEST_OPACITY + (1 - LOWEST_OPACITY) * torch.rand(count, 1, 1, 1, device=device)
    corrupted = torch.rand(count, 1, 1, 1, device=device) < share
    return torch.lerp(images, content, defect_masks(images) * opacity * corrupted)


def defect_masks(images: Tensor) -> Tensor:
    """Masks (B, 1, H, W) of 0 and 1, one for each image: the highest values of smooth noise."""
    count, _, height, width = images.shape
    rows, columns = (2 ** int(torch.randint(COARSEST_GRID, FINEST_GRID + 1, ())) for _ in range(2))
    noise = torch.randn(count, 1, min(rows, height), min(columns, width), device=images.device)
    smooth = F.interpolate(noise, size=(height, width), mode="bilinear", align_corners=True)
    ratio = LARGEST_AREA / SMALLEST_AREA
    area = SMALLEST_AREA * ratio ** torch.rand(count, device=images.device)
    rank = (area * height * width).long().clamp(1, height * width - 1)
    thresholds = smooth.flatten(1).sort(dim=1, descending=True).values.gather(1, rank[:, None])
    return (smooth > thresholds[:, :, None, None]).to(images.dtype)


def _shuffled_and_rolled(images: Tensor) -> Tensor:
    """The batch in another order, every image rolled by one random shift."""
    height, width = images.shape[-2:]
    shift = (int(torch.randint(height, ())), int(torch.randint(width, ())))
    return images[torch.randperm(len(images), device=images.device)].roll(shift, dims=(2, 3))
