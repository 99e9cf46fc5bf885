"""A single-shot detector: features at several strides; each cell gives class logits and offsets for its anchors.

image -> backbone -> maps F_1 .. F_L -> [weak segmentation gates each: F_l' = F_l (1 + g)] -> heads -> logits, offsets
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from daad.boxes.weak_segmentation import WeakSegmentation
from daad.nn.convs import ConvBNReLU, Down

NARROWEST = {"nano": 8, "small": 16}
VGG = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # width and depth of each block
EXTRAS = {  # width, kernel, stride and padding of the layers after fc7, by the side of the image
    300: ((512, 3, 2, 1), (256, 3, 2, 1), (256, 3, 1, 0), (256, 3, 1, 0)),
    512: ((512, 3, 2, 1), (256, 3, 2, 1), (256, 3, 2, 1), (256, 3, 2, 1), (256, 4, 1, 1)),
}


class SSDOutput(NamedTuple):
    """The network's output for B images with A anchors.

    Args:
        logits: of the classes (B, A, classes + 1), background first.
        offsets: of the boxes from their anchors (B, A, 4).
        segmentation: of each layer the logits of weak segmentation (B, classes + 1, h, w); empty without it.
    """

    logits: Tensor
    offsets: Tensor
    segmentation: list[Tensor]


class SmallBackbone(nn.Module):
    """Five halvings from `width` channels to 8 times as many; maps at strides 8, 16 and 32."""

    strides = (8, 16, 32)

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.widths = [4 * width, 8 * width, 8 * width]
        self.stem = nn.Sequential(ConvBNReLU(channels, width, 2), Down(width, 2 * width))
        self.parts = nn.ModuleList(
            [Down(inputs, outputs) for inputs, outputs in zip([2 * width, *self.widths], self.widths, strict=False)]
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        features, maps = self.stem(images), []
        for part in self.parts:
            features = part(features)
            maps.append(features)
        return maps


class VGGBackbone(nn.Module):
    """SSD's backbone: VGG-16 to conv4_3, on to fc7 as convolutions, then pairs of 1 x 1 and 3 x 3 down to one cell.

    It gives six maps for 300 pixels a side (38, 19, 10, 5, 3, 1 cells), seven for 512 (64 to 1). With batch norm
    throughout, since there are no pretrained weights; it replaces SSD's scaling of conv4_3.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels
        for block, (width, depth) in enumerate(VGG):
            if block:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            for _ in range(depth):
                layers.append(ConvBNReLU(inputs, width))
                inputs = width
        to_conv4_3 = len(layers) - 1 - VGG[-1][1]
        self.first = nn.Sequential(*layers[:to_conv4_3])
        fc6, fc7 = _convolution(512, 1024, 3, padding=6, dilation=6), _convolution(1024, 1024, 1)
        self.second = nn.Sequential(*layers[to_conv4_3:], nn.MaxPool2d(3, 1, 1), fc6, fc7)
        self.widths = [512, 1024]
        self.extras = nn.ModuleList()
        for width, kernel, stride, padding in EXTRAS[side]:
            narrow = _convolution(self.widths[-1], width // 2, 1)
            last = len(self.widths) == len(EXTRAS[side]) + 1
            wide = _convolution(width // 2, width, kernel, stride=stride, padding=padding, norm=not last)
            self.extras.append(nn.Sequential(narrow, wide))
            self.widths.append(width)

    def forward(self, images: Tensor) -> list[Tensor]:
        conv4_3 = self.first(images)
        maps = [conv4_3, self.second(conv4_3)]
        for layer in self.extras:
            maps.append(layer(maps[-1]))
        return maps


def _convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1, norm: bool = True
) -> nn.Sequential:
    """Convolution, batch norm, ReLU; without the norm where the map is a single cell, which has no variance."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=not norm)
    return nn.Sequential(layer, *([nn.BatchNorm2d(outputs)] if norm else []), nn.ReLU(inplace=True))


def make_backbone(size: str, channels: int, side: int) -> SmallBackbone | VGGBackbone:
    """The backbone of a size."""
    return VGGBackbone(channels, side) if size == "paper" else SmallBackbone(channels, NARROWEST[size])


def grids_of(size: str, height: int, width: int) -> list[tuple[int, int]]:
    """The grid (h, w) of each layer, without making the network."""
    with torch.device("meta"):
        maps = make_backbone(size, 1, height).eval()(torch.empty(1, 1, height, width))
    return [(int(layer.shape[2]), int(layer.shape[3])) for layer in maps]


class SSD(nn.Module):
    """Images (B, C, H, W) in [0, 1] -> SSDOutput.

    Args:
        size: that of the backbone: nano, small or paper.
        channels: of the images.
        side: of the images in pixels; it decides the layers of size paper.
        classes: number of classes, without background.
        anchors: for each layer the number of anchors in a cell.
        segmented: with weak segmentation.
    """

    def __init__(
        self, size: str, channels: int, side: int, classes: int, anchors: Sequence[int], *, segmented: bool
    ) -> None:
        super().__init__()
        self.classes = classes
        self.backbone = make_backbone(size, channels, side)
        widths = self.backbone.widths
        self.gates = nn.ModuleList([WeakSegmentation(width, classes) for width in widths] if segmented else [])
        counts = list(zip(widths, anchors, strict=True))
        self.to_logits = nn.ModuleList([nn.Conv2d(width, n * (classes + 1), 3, padding=1) for width, n in counts])
        self.to_offsets = nn.ModuleList([nn.Conv2d(width, n * 4, 3, padding=1) for width, n in counts])

    def forward(self, images: Tensor) -> SSDOutput:
        maps, segmentation = self.backbone(images), []
        if self.gates:
            gated = [gate(features) for gate, features in zip(self.gates, maps, strict=True)]
            maps, segmentation = [features for features, _ in gated], [logits for _, logits in gated]
        logits = [_by_anchor(head(f), self.classes + 1) for head, f in zip(self.to_logits, maps, strict=True)]
        offsets = [_by_anchor(head(f), 4) for head, f in zip(self.to_offsets, maps, strict=True)]
        return SSDOutput(torch.cat(logits, dim=1), torch.cat(offsets, dim=1), segmentation)


def _by_anchor(maps: Tensor, values: int) -> Tensor:
    """(B, anchors values, h, w) -> (B, h w anchors, values), in the order of `anchor_boxes`."""
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, values)
