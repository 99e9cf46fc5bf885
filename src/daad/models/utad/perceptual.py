"""Perceptual distances of images at every pixel: by edges and structure at several scales, or by a pretrained network.

Source: UTAD's perceptual measurement Phi (Liu et al., arXiv 2103.11671), whose equation is not known to us. It compares
features of a network trained on ImageNet. Without one, ours compares brightness, gradients and SSIM.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from daad.features.lite0 import Lite0Network
from daad.nn.ssim import MultiScaleSSIM

SCALES = 3


class Measure(nn.Module, ABC):
    """Distance maps (B, H, W) of images (B, C, H, W) in [0, 1]: 0 or more, 0 for equal images."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.size = (height, width)

    @abstractmethod
    def features(self, images: Tensor) -> list[Tensor]:
        """Maps (B, D, h, w) in which images are compared."""

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """Squared difference of the features, resized to full size, mean over the levels."""
        pairs = zip(self.features(first), self.features(second), strict=True)
        return self._full_size_mean([(a - b).square().sum(dim=1, keepdim=True) for a, b in pairs])

    def variance(self, versions: list[Tensor]) -> Tensor:
        """Variance of the features over several versions of the same images; 0 for one version."""
        levels = zip(*(self.features(version) for version in versions), strict=True)
        variances = [torch.stack(maps).var(dim=0, correction=0).sum(dim=1, keepdim=True) for maps in levels]
        return self._full_size_mean(variances)

    def _full_size_mean(self, maps: list[Tensor]) -> Tensor:
        resized = [F.interpolate(level, self.size, mode="bilinear", align_corners=False) for level in maps]
        return torch.cat(resized, dim=1).mean(dim=1)


class EdgesAndStructure(Measure):
    """Brightness and gradients at three scales, and 1 - SSIM; needs no trained weights."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        self.ssim = MultiScaleSSIM(height, width)

    def features(self, images: Tensor) -> list[Tensor]:
        levels = []
        for _ in range(SCALES):
            padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
            gradient_x = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) / 2
            gradient_y = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) / 2
            levels.append(torch.cat([images, gradient_x, gradient_y], dim=1))
            images = F.avg_pool2d(images, 2)
        return levels

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        residual: Tensor = self.ssim(first, second)[1]
        return super().distance(first, second) + residual


class ImageNetFeatures(Measure):
    """Unit-length features of EfficientNet-Lite0 at strides 4, 8 and 16; needs the extra `lite0`."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        self.net = Lite0Network()

    def features(self, images: Tensor) -> list[Tensor]:
        return [F.normalize(maps, dim=1) for maps in self.net(images)[:3]]
