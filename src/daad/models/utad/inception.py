"""IE-Net's auto-encoder of Inception blocks, and the branch from its bottleneck to a code.

Source: UTAD (Liu et al., arXiv 2103.11671) and the authors' released test code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from daad.nn.convs import Conv3x3

SLOPE = 0.1
EPSILON = 1e-3
CODE_SIDE = 4


class _Branch(nn.Sequential):
    """Convolution, batch norm, LeakyReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs, eps=EPSILON), nn.LeakyReLU(SLOPE))


class Inception(nn.Module):
    """Four branches of n channels: (B, in, H, W) -> (B, 4 n, H, W). Kernels: 1 x 1, 3 x 3, 5 x 5, a pooled 1 x 1."""

    def __init__(self, inputs: int, n: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_Branch(inputs, n, kernel) for kernel in (1, 3, 5))
        self.pooled = _Branch(inputs, n, 1)

    def forward(self, maps: Tensor) -> Tensor:
        pooled = F.max_pool2d(maps, 3, 1, 1)
        return torch.cat([*(branch(maps) for branch in self.branches), self.pooled(pooled)], dim=1)


class InceptionAutoEncoder(nn.Module):
    """E_M and D_M: images (B, C, H, W) -> bottleneck -> impression m (B, C, H, W) in [0, 1].

    Args:
        channels: C of the images.
        blocks: n of the encoder's blocks; the decoder has them in reverse order.
        pools: factors that the encoder's blocks divide the map by.
        ups: factors that the decoder's blocks multiply the map by.
    """

    def __init__(self, channels: int, blocks: Sequence[int], pools: Sequence[int], ups: Sequence[int]) -> None:
        super().__init__()
        encoder: list[nn.Module] = []
        current = channels
        for n, pool in zip(blocks, pools, strict=True):
            encoder += [Inception(current, n), nn.MaxPool2d(pool)]
            current = 4 * n
        self.encoder = nn.Sequential(*encoder)
        self.width = current
        decoder: list[nn.Module] = []
        # the paper's decoder repeats the encoder's third block: 128, 64, 64, 32 for 32, 32, 64, 128
        for n, up in zip((*reversed(blocks[2:]), blocks[-2], blocks[0]), ups, strict=True):
            decoder += [Inception(current, n), nn.Upsample(scale_factor=up, mode="nearest")]
            current = 4 * n
        self.decoder = nn.Sequential(*decoder, nn.Conv2d(current, channels, 1), nn.Sigmoid())

    def forward(self, images: Tensor) -> Tensor:
        impression: Tensor = self.decoder(self.encoder(images))
        return impression


class InformationBranch(nn.Module):
    """Bottleneck (B, D, h, w) -> mu and log-variance (B, latent) of the code; the decoder does not use them."""

    def __init__(self, width: int, side: int, latent: int) -> None:
        super().__init__()
        self.shrink = nn.MaxPool2d(max(1, side // CODE_SIDE))
        self.body = nn.Sequential(
            Conv3x3(width, width // 8), nn.LeakyReLU(SLOPE), Conv3x3(width // 8, width), nn.LeakyReLU(SLOPE)
        )
        self.mean = nn.Linear(width, latent)
        self.log_variance = nn.Linear(width, latent)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.body(self.shrink(maps)).mean(dim=(2, 3))
        return self.mean(pooled), self.log_variance(pooled)


class InformationCritic(nn.Module):
    """Deep-InfoMax discriminators: does a code (B, latent) belong to these maps (B, D, h, w)?

    A local one for every position, a global one for the pooled maps. Source: Hjelm et al., ICLR 2019.
    """

    def __init__(self, width: int, latent: int, hidden: int = 128) -> None:
        super().__init__()
        self.local = nn.Sequential(
            nn.Conv2d(width + latent, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, hidden, 1), nn.ReLU(),
            nn.Conv2d(hidden, 1, 1),
        )  # fmt: skip
        self.whole = nn.Sequential(nn.Linear(width + latent, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, maps: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Local logits (B, h, w) and global ones (B,)."""
        code_maps = codes[:, :, None, None].expand(-1, -1, *maps.shape[2:])
        local_logits = self.local(torch.cat([maps, code_maps], dim=1))[:, 0]
        global_logits = self.whole(torch.cat([maps.mean(dim=(2, 3)), codes], dim=1))[:, 0]
        return local_logits, global_logits
