"""Hand-made features: edges, brightness and texture at every pixel, at several scales. Nothing is learnt.

    channel -> pyramid (blur, halve) -> at every level: energy of Gabor filters in four directions, mean, deviation

A quadrature pair of Gabor filters gives an energy that does not depend on the phase of an edge.
Source of the filters: Daugman, "Uncertainty relation for resolution in space, spatial frequency, and orientation
optimized by two-dimensional visual cortical filters", JOSA A 1985; constants are ours.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from daad.features.base import Features
from daad.stages import ModelConfig

LEVELS = 3
ORIENTATIONS = 4
SIGMA = 1.2  # of a filter's envelope, in pixels of its level
FREQUENCY = 1.5 / SIGMA  # radians a pixel
RADIUS = 4
MEAN_SIGMA, DEVIATION_SIGMA, HALVING_SIGMA = 1.0, 1.5, 0.8
EPSILON = 1e-6  # under a root, whose slope at 0 is infinite


class FilterFeatures(Features):
    """Three maps at strides 1, 2 and 4, with six channels for every image channel."""

    gabor: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.register_buffer("gabor", gabor_filters(), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps, level = [], images
        for number in range(LEVELS):
            if number:
                level = F.avg_pool2d(blurred(level, HALVING_SIGMA), 2, ceil_mode=True)
            maps.append(self._filtered(level))
        return maps

    @property
    def source(self) -> str:
        return "hand-made filters"

    def _filtered(self, level: Tensor) -> Tensor:
        """The six channels of every channel of one pyramid level (B, C, h, w), as (B, 6 C, h, w)."""
        count, channels, height, width = level.shape
        planes = level.reshape(count * channels, 1, height, width)
        padded = F.pad(planes, (RADIUS,) * 4, mode="replicate")
        even, odd = F.conv2d(padded, self.gabor).chunk(2, dim=1)  # both (B C, 4, h, w)
        energy = (even.square() + odd.square() + EPSILON).sqrt()
        mean = blurred(planes, MEAN_SIGMA)
        wide_mean = blurred(planes, DEVIATION_SIGMA)
        variance = (blurred(planes.square(), DEVIATION_SIGMA) - wide_mean.square()).clamp_min(0)
        deviation = variance.add(EPSILON).sqrt()
        return torch.cat([energy, mean, deviation], dim=1).reshape(count, -1, height, width)


def gabor_filters() -> Tensor:
    """(8, 1, 9, 9): the even parts of four orientations, then their odd parts; zero mean, unit sum of magnitudes."""
    offsets = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float32)
    y, x = torch.meshgrid(offsets, offsets, indexing="ij")
    envelope = torch.exp(-(x.square() + y.square()) / (2 * SIGMA**2))
    angles = [math.pi * number / ORIENTATIONS for number in range(ORIENTATIONS)]
    phases = [FREQUENCY * (math.cos(angle) * x + math.sin(angle) * y) for angle in angles]
    filters = torch.stack([envelope * torch.cos(p) for p in phases] + [envelope * torch.sin(p) for p in phases])
    filters = filters - envelope * (filters.sum(dim=(1, 2), keepdim=True) / envelope.sum())
    return (filters / filters.abs().sum(dim=(1, 2), keepdim=True))[:, None]


def blurred(planes: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing of planes (B, C, h, w) with replicated borders."""
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=planes.dtype, device=planes.device)
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    count, channels, height, width = planes.shape
    flat = F.pad(planes.reshape(count * channels, 1, height, width), (radius,) * 4, mode="replicate")
    flat = F.conv2d(F.conv2d(flat, kernel[None, None, :, None]), kernel[None, None, None, :])
    return flat.reshape(count, channels, height, width)
