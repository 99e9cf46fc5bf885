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
    """MS-SSIM (B,) of two sets of images (B, C, H, W) in [0, 1], 1 for equal ones, and a residual map (B, H, W).

    The window is 11 pixels where five scales are large enough for it, else 3. There are up to five scales, as many as
    are no smaller than the window: four at 32 pixels, as in IGD's code. The residual map is our choice: the mean of
    1 - SSIM over the scales, with the same weights.
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
            luminance, structure = self._terms(first, second)
            ssim = luminance * structure
            term = ssim if level == last else structure
            index = index * term.mean(dim=(1, 2, 3)).clamp_min(1e-6) ** weight
            full_size = F.interpolate(1 - ssim, self.size, mode="bilinear", align_corners=False)
            residual = residual + weight * full_size.mean(dim=1)
            first, second = F.avg_pool2d(first, 2), F.avg_pool2d(second, 2)
        return index, residual

    def _terms(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Luminance, and contrast times structure, at every pixel."""
        moments = torch.cat([first, second, first * first, second * second, first * second], dim=1)
        a, b, aa, bb, ab = self._blurred(moments).chunk(5, dim=1)
        variances = (aa - a * a).clamp_min(0) + (bb - b * b).clamp_min(0)
        luminance = (2 * a * b + C1) / (a * a + b * b + C1)
        return luminance, (2 * (ab - a * b) + C2) / (variances + C2)

    def _blurred(self, maps: Tensor) -> Tensor:
        """GaussianBlur as sums of shifted maps, where IGD spends most of its training.

        On CPUs this is several times as fast as a depthwise convolution, above all in the backward pass.
        """
        r, (height, width) = self.blur.radius, maps.shape[-2:]
        weights = list(enumerate(self.blur.kernel))
        padded = F.pad(maps, (r, r, r, r), mode="reflect")
        rows = sum((weight * padded[..., i : i + width] for i, weight in weights), torch.zeros(()))
        return sum((weight * rows[..., i : i + height, :] for i, weight in weights), torch.zeros(()))
