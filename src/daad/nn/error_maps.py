"""Error maps of reconstructions: squared error, Gaussian smoothing, running moments."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GaussianBlur(nn.Module):
    """Separable Gaussian smoothing of maps (B, C, H, W) with reflected borders; exportable.

    Args:
        sigma: standard deviation in pixels; 0: no smoothing.
        height: H of the maps.
        width: W of the maps.
        radius: pixels from the centre of the kernel to its end; None: three sigma. It is cut to the size of the maps.
    """

    kernel: Tensor

    def __init__(self, sigma: float, height: int, width: int, radius: int | None = None) -> None:
        super().__init__()
        self.radius = min(math.ceil(3 * sigma) if radius is None else radius, height - 1, width - 1)
        offsets = torch.arange(-self.radius, self.radius + 1, dtype=torch.float32)
        kernel = torch.exp(-offsets.square() / (2 * sigma**2)) if sigma else torch.ones(1)
        self.register_buffer("kernel", kernel / kernel.sum(), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        if not self.radius:
            return maps
        r, channels = self.radius, maps.shape[1]
        kernel = self.kernel.expand(channels, 1, 1, -1)
        padded = F.pad(maps, (r, r, r, r), mode="reflect")
        rows = F.conv2d(padded, kernel, groups=channels)
        return F.conv2d(rows, kernel.transpose(2, 3), groups=channels)


def squared_error_map(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Mean over channels of the squared difference, (B, 1, H, W)."""
    return (images - reconstructions).square().mean(dim=1, keepdim=True)


class RunningMoments:
    """Mean and standard deviation over images of maps (B, ...), batch by batch, in float64 (Chan et al., 1983)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self._squares = torch.zeros((), dtype=torch.float64)

    def update(self, maps: Tensor) -> None:
        """Add a batch."""
        values = maps.double()
        count, mean = len(values), values.mean(dim=0)
        shift = mean - self.mean
        total = self.count + count
        between = shift.square() * self.count * count / total
        self._squares = self._squares + (values - mean).square().sum(dim=0) + between
        self.mean = self.mean + shift * count / total
        self.count = total

    def std(self) -> Tensor:
        """The standard deviation; 0 for a single image."""
        return (self._squares / max(self.count, 1)).sqrt()
