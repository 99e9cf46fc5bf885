"""The five-resolution encoder-decoder that the DAAD paper's figure draws, with a bridge on each path across it.

Source: DAAD (Hou et al., ICCV 2021), figure of the framework. Widths, kernels and activations are our choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from daad.nn.convs import ConvBNReLU, Down, Up

LEVELS = 4
MULTIPLE: int = 1 << LEVELS

OutputActivation = Literal["sigmoid", "none", "conv_bn_relu"]


class Generator(nn.Module):
    """Reconstruct images (B, C, H, W) in [0, 1]; H and W are multiples of 16. There is no path at full size.

        x -> F0 -> F1 -> F2 -> F3 -> F4 --bridge 4--> up -> [bridge 3, up] -> [bridge 2, up] -> [bridge 1, up] -> x_hat

    Args:
        channels: C of the images.
        widths: channels of F0 (full size) to F4 (1/16).
        bridges: modules on the paths of F1 to F4: a memory, an identity, or None for no path; F4 needs one.
        output_activation: of the last convolution.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        bridges: Sequence[nn.Module | None],
        output_activation: OutputActivation = "sigmoid",
    ) -> None:
        super().__init__()
        self.stem = ConvBNReLU(channels, widths[0])
        self.downs = nn.ModuleList(Down(a, b) for a, b in pairwise(widths))
        self.bridges = nn.ModuleList(bridge or nn.Identity() for bridge in bridges)
        self.crossed = [bridge is not None for bridge in bridges]
        # Every up layer doubles the resolution and gives the width of its target level; a skip doubles its input width.
        self.ups = nn.ModuleList(
            Up(widths[level] * (2 if self.crossed[level - 1] and level < LEVELS else 1), widths[level - 1])
            for level in range(LEVELS, 0, -1)
        )
        self.head = _head(widths[0], channels, output_activation)

    def encode(self, images: Tensor) -> list[Tensor]:
        """The encoder's maps F1 to F4, raw."""
        features = [self.stem(images)]
        for down in self.downs:
            features.append(down(features[-1]))
        return features[1:]

    def decode(self, crossed: Sequence[Tensor | None]) -> Tensor:
        """The image from the outputs of the bridges, finest first; None where there is no path."""
        up = crossed[-1]
        assert up is not None, "the bottleneck always crosses"
        for step, layer in enumerate(self.ups):
            skip = crossed[LEVELS - 1 - step] if step else None
            up = layer(up if skip is None else torch.cat([skip, up], dim=1))
        image: Tensor = self.head(up)
        return image

    def forward(self, images: Tensor) -> Tensor:
        features = self.encode(images)
        paths = zip(self.bridges, features, self.crossed, strict=True)
        return self.decode([bridge(f) if crossed else None for bridge, f, crossed in paths])


def _head(width: int, channels: int, activation: OutputActivation) -> nn.Module:
    if activation == "conv_bn_relu":
        return ConvBNReLU(width, channels)
    conv = nn.Conv2d(width, channels, 3, padding=1)
    return nn.Sequential(conv, nn.Sigmoid()) if activation == "sigmoid" else conv
