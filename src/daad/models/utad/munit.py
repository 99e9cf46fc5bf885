"""Encoders of content and detail, their decoder, and the discriminators of Expert-Net.

Source: Huang et al., MUNIT, ECCV 2018, as UTAD (Liu et al., arXiv 2103.11671) uses it: "detail" is MUNIT's style.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN = 256
EPSILON = 1e-3  # added to the variance; with MUNIT's 1e-5 the rounding of flat images becomes texture
SMALLEST_MAP = 2


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, padding_mode="reflect")


class _Normed(nn.Sequential):
    """Convolution, instance norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(_conv(inputs, outputs, kernel, stride), nn.InstanceNorm2d(outputs, eps=EPSILON), nn.ReLU())


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _Normed(width, width, 3), _conv(width, width, 3), nn.InstanceNorm2d(width, eps=EPSILON)
        )

    def forward(self, maps: Tensor) -> Tensor:
        residual: Tensor = self.body(maps)
        return maps + residual


class _AdaptiveResidual(nn.Module):
    """A residual block whose two norms take their scale and shift from the detail: (B, W, h, w), (B, 4 W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _conv(width, width, 3), _conv(width, width, 3)

    def forward(self, maps: Tensor, style: Tensor) -> Tensor:
        first_style, second_style = style.chunk(2, dim=1)
        hidden = F.relu(adaptive_norm(self.first(maps), first_style))
        return maps + adaptive_norm(self.second(hidden), second_style)


def adaptive_norm(maps: Tensor, style: Tensor) -> Tensor:
    """AdaIN of maps (B, W, h, w): instance norm, times 1 + s, plus t; s and t are the halves of style (B, 2 W)."""
    scale, shift = style[:, :, None, None].chunk(2, dim=1)
    return F.instance_norm(maps, eps=EPSILON) * (1 + scale) + shift


class ContentEncoder(nn.Sequential):
    """Images (B, C, H, W) -> content (B, 4 dim, H / 4, W / 4)."""

    def __init__(self, channels: int, dim: int, blocks: int) -> None:
        downs = [_Normed(channels, dim, 7), _Normed(dim, 2 * dim, 4, 2), _Normed(2 * dim, 4 * dim, 4, 2)]
        super().__init__(*downs, *(_Residual(4 * dim) for _ in range(blocks)))


class DetailEncoder(nn.Module):
    """Images (B, C, H, W) -> detail code (B, detail). Without norms: they would remove the detail."""

    def __init__(self, channels: int, dim: int, detail: int) -> None:
        super().__init__()
        widths = (dim, 2 * dim, 4 * dim)
        layers: list[nn.Module] = [_conv(channels, dim, 7), nn.ReLU()]
        for inputs, outputs in zip(widths, (*widths[1:], widths[-1]), strict=True):
            layers += [_conv(inputs, outputs, 4, 2), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], detail)

    def forward(self, images: Tensor) -> Tensor:
        code: Tensor = self.head(self.body(images).mean(dim=(2, 3)))
        return code


class Decoder(nn.Module):
    """Content (B, 4 dim, H / 4, W / 4) and detail (B, detail) -> images (B, C, H, W) in [0, 1].

    Args:
        channels: C of the images.
        dim: channels of the last map; the content has four times as many.
        blocks: number of residual blocks.
        detail: length of the detail code.
    """

    def __init__(self, channels: int, dim: int, blocks: int, detail: int) -> None:
        super().__init__()
        width = 4 * dim
        self.blocks = nn.ModuleList(_AdaptiveResidual(width) for _ in range(blocks))
        self.styles = nn.Sequential(
            nn.Linear(detail, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, blocks * 4 * width),
        )  # fmt: skip
        ups: list[nn.Module] = []
        for inputs, outputs in ((width, 2 * dim), (2 * dim, dim)):
            ups += [nn.Upsample(scale_factor=2, mode="nearest"), _conv(inputs, outputs, 5)]
            ups += [nn.GroupNorm(1, outputs), nn.ReLU()]
        self.ups = nn.Sequential(*ups, _conv(dim, channels, 7), nn.Sigmoid())

    def forward(self, content: Tensor, detail: Tensor) -> Tensor:
        styles = self.styles(detail).chunk(len(self.blocks), dim=1)
        for block, style in zip(self.blocks, styles, strict=True):
            content = block(content, style)
        image: Tensor = self.ups(content)
        return image


class Expert(nn.Module):
    """The generator of one domain: encoders of content and detail, and the decoder of both.

    Args:
        channels: C of the images.
        dim: channels of the largest map.
        blocks: number of residual blocks in encoder and decoder.
        detail: length of the detail code.
    """

    def __init__(self, channels: int, dim: int, blocks: int, detail: int) -> None:
        super().__init__()
        self.content = ContentEncoder(channels, dim, blocks)
        self.detail = DetailEncoder(channels, dim, detail)
        self.decode = Decoder(channels, dim, blocks, detail)


class MultiScaleDiscriminator(nn.Module):
    """Least-squares discriminator at several scales: images (B, C, H, W) -> a map of logits for every scale.

    A scale has four strided convolutions, fewer for small images. Source: as MUNIT's.

    Args:
        channels: C of the images.
        dim: channels of the first map.
        scales: number of scales, every one half the size of the one before.
        height: H of the images.
        width: W of the images.
    """

    def __init__(self, channels: int, dim: int, scales: int, height: int, width: int) -> None:
        super().__init__()
        short = min(height, width)
        self.nets = nn.ModuleList(self._net(channels, dim, short >> level) for level in range(scales))

    @staticmethod
    def _net(channels: int, dim: int, side: int) -> nn.Module:
        layers: list[nn.Module] = []
        current = channels
        for level in range(min(4, max(1, int(math.log2(max(side, 2) / SMALLEST_MAP))))):
            layers += [_conv(current, dim << level, 4, 2), nn.LeakyReLU(0.2)]
            current = dim << level
        return nn.Sequential(*layers, nn.Conv2d(current, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        logits = []
        for net in self.nets:
            logits.append(net(images).float())
            images = F.avg_pool2d(images, 2)
        return logits
