"""A residual net that gives the maps of its four stages.

Source: He et al., Deep Residual Learning, CVPR 2016. With `stem_stride` 1, two blocks a stage and widths 64 to 512 it
is a ResNet18 for small images (3 x 3 stem, no max-pooling). CCD's released code trains that layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from daad.nn.convs import Conv3x3, Shortcut
from daad.stages import Size

STRIDES = (1, 2, 2, 2)
WIDTHS: Mapping[Size, tuple[int, int, int, int]] = {
    "nano": (8, 8, 16, 16),
    "small": (16, 32, 64, 128),
    "paper": (64, 128, 256, 512),
}
BLOCKS: Mapping[Size, int] = {"nano": 1, "small": 1, "paper": 2}
STEM_STRIDE: Mapping[Size, int] = {"nano": 2, "small": 2, "paper": 1}


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut: (B, in, H, W) -> (B, out, H / stride, W / stride), 0 or more."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv3x3(inputs, outputs, stride)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = Conv3x3(outputs, outputs)
        self.norm2 = nn.BatchNorm2d(outputs)
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else nn.Sequential(Shortcut(inputs, outputs, stride), nn.BatchNorm2d(outputs))

    def forward(self, maps: Tensor) -> Tensor:
        shortcut = maps if self.shortcut is None else self.shortcut(maps)
        residual = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(maps)))))
        return F.relu(residual + shortcut)


class ResNet(nn.Module):
    """Images (B, C, H, W) -> the maps of four stages, from fine to coarse.

    Every stage but the first halves the map; odd sides are rounded up.

    Args:
        channels: C of the images.
        widths: channels of the four maps.
        blocks: residual blocks a stage.
        stem_stride: stride of the first map in image pixels.
    """

    def __init__(self, channels: int, widths: Sequence[int], blocks: int, stem_stride: int) -> None:
        super().__init__()
        self.stem = Conv3x3(channels, widths[0], stem_stride)
        self.norm = nn.BatchNorm2d(widths[0])
        inputs = (widths[0], *widths[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(BasicBlock(i, o, s), *(BasicBlock(o, o, 1) for _ in range(blocks - 1)))
            for i, o, s in zip(inputs, widths, STRIDES, strict=True)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [F.relu(self.norm(self.stem(images)))]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


def build_resnet(size: Size, channels: int) -> ResNet:
    """The network of a size, for images with this number of channels."""
    return ResNet(channels, WIDTHS[size], BLOCKS[size], STEM_STRIDE[size])
