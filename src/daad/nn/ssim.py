"""MS-SSIM of images, as a number and as a map.

Source: Wang et al., Asilomar 2003; windows and weights as in IGD's released code.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from daad.nn.error_maps import GaussianBlur

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
LARGE, SMALL = 11, 3  # sides of the window
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2  # for values in [0, 1]


class MultiScaleSSIM(nn.Module):
    """Similarity (B,) of two sets of images (B, C, H, W) in [0, 1], 1 for equal ones, and a residual map (B, H, W).

    The window is 11 pixels where five scales hold it, else 3; there are as many scales, at most five, as the short side
    halves into without falling below the window (at 32 pixels four, as in IGD's code). The residual map, our choice, is
    the mean of 1 - SSIM over the scales, by the same weights.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        short = min(height, width)
        side = LARGE if short >> (len(WEIGHTS) - 1) >= LARGE else SMALL
        scales = sum(short >> level >= side for level in range(len(WEIGHTS)))
        self.size = (height, width)
        self.weights = [weight / sum(WEIGHTS[:scales]) for weight in WEIGHTS[:scales]]
        self.blur = GaussianBlur(SIGMA, side, side, radius=side // 2)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(first.device.type, enabled=False):
            return self._compare(first.float(), second.float())

    def _compare(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        index, residual = first.new_ones(first.shape[0]), first.new_zeros(first.shape[0], *self.size)
        last = len(self.weights) - 1
        for level, weight in enumerate(self.weights):
            light, structure = self._terms(first, second)
            whole = light * structure
            term = whole if level == last else structure
            index = index * term.mean(dim=(1, 2, 3)).clamp_min(1e-6) ** weight
            apart = F.interpolate(1 - whole, self.size, mode="bilinear", align_corners=False)
            residual = residual + weight * apart.mean(dim=1)
            first, second = F.avg_pool2d(first, 2), F.avg_pool2d(second, 2)
        return index, residual

    def _terms(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Luminance, and contrast times structure, at every place."""
        all_five = torch.cat([first, second, first * first, second * second, first * second], dim=1)
        a, b, aa, bb, ab = self._windowed(all_five).chunk(5, dim=1)
        variances = (aa - a * a).clamp_min(0) + (bb - b * b).clamp_min(0)
        light = (2 * a * b + C1) / (a * a + b * b + C1)
        return light, (2 * (ab - a * b) + C2) / (variances + C2)

    def _windowed(self, maps: Tensor) -> Tensor:
        """GaussianBlur as sums of shifted maps: on CPUs, and backward above all, several times as fast as a convolution
        of single channels, and this is where IGD spends its training."""
        r, (height, width) = self.blur.radius, maps.shape[-2:]
        weights = list(enumerate(self.blur.kernel))
        padded = F.pad(maps, (r, r, r, r), mode="reflect")
        rows = sum((weight * padded[..., i : i + width] for i, weight in weights), torch.zeros(()))
        return sum((weight * rows[..., i : i + height, :] for i, weight in weights), torch.zeros(()))
