"""A wide residual encoder for small images, with norms that the caller chooses.

Source: Zagoruyko & Komodakis, Wide Residual Networks, BMVC 2016; depth 10 has three groups of one block.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from daad.nn.convs import Conv3x3, Shortcut

Norm = Callable[[int], nn.Module]
STRIDES = (1, 2, 2)


class PreActivationBlock(nn.Module):
    """Twice norm, ReLU and 3 x 3 convolution, and a shortcut: (B, in, H, W) -> (B, out, H / stride, W / stride).

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: of the first convolution and the shortcut.
        norm: channels -> a norm.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(inputs), norm(outputs)
        self.conv1 = Conv3x3(inputs, outputs, stride)
        self.conv2 = Conv3x3(outputs, outputs)
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else Shortcut(inputs, outputs, stride)

    def forward(self, maps: Tensor) -> Tensor:
        active = F.relu(self.norm1(maps))
        shortcut = maps if self.shortcut is None else self.shortcut(active)
        residual: Tensor = self.conv2(F.relu(self.norm2(self.conv1(active))))
        return residual + shortcut


class WideResNet10(nn.Module):
    """Images (B, C, H, W) -> non-negative maps (B, widths[-1], H / 4, W / 4).

    Args:
        channels: C of the images.
        stem: channels of the first convolution.
        widths: channels of the three groups.
        norm: channels -> a norm.
    """

    def __init__(self, channels: int, stem: int, widths: tuple[int, int, int], norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.stem = Conv3x3(channels, stem)
        inputs = (stem, *widths[:-1])
        self.groups = nn.Sequential(
            *(PreActivationBlock(i, o, s, norm) for i, o, s in zip(inputs, widths, STRIDES, strict=True))
        )
        self.norm = norm(widths[-1])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        return F.relu(self.norm(self.groups(self.stem(images))))
