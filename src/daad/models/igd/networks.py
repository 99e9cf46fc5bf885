"""IGD's decoder G and critic D.

Source: Chen et al., AAAI 2022, and its released code.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from daad.nn.convs import Up

DOUBLINGS = 4


class Decoder(nn.Module):
    """G: z (B, latent) -> images (B, C, H, W) in [0, 1]: a small map is doubled four times, then cropped.

    Args:
        latent: length of z.
        channels: C of the images.
        height: H of the images.
        width: W of the images.
        widths: channels of the five maps, coarsest first.
    """

    def __init__(self, latent: int, channels: int, height: int, width: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.size = (height, width)
        first = (widths[0], -(-height >> DOUBLINGS) or 1, -(-width >> DOUBLINGS) or 1)
        self.first = nn.Sequential(nn.Linear(latent, first[0] * first[1] * first[2]), nn.Unflatten(1, first))
        self.ups = nn.Sequential(*(Up(i, o) for i, o in pairwise(widths)))
        self.head = nn.Sequential(nn.Conv2d(widths[-1], channels, 3, padding=1), nn.Sigmoid())

    def forward(self, z: Tensor) -> Tensor:
        height, width = self.size
        image: Tensor = self.head(self.ups(self.first(z)))[..., :height, :width]
        return image


class Critic(nn.Module):
    """D: images (B, C, H, W) -> the share of the mix in them, (B,). No batch norm: rows must not affect one another."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for level in range(3):
            layers += [nn.Conv2d(channels if not level else width << (level - 1), width << level, 3, 2, 1)]
            layers += [nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width << 2, 1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        share: Tensor = self.body(images)
        return share.float().mean(dim=(1, 2, 3))
