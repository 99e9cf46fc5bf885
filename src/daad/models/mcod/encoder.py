"""MCOD's encoder E.

Source: MCOD (Huyan et al., IEEE TIP 2022) and the authors' released code.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from daad.models.mcod.wide_resnet import WideResNet10


class Encoded(NamedTuple):
    """Maps (B, D, h, w), and of every image f (B, D), e (B, E) of unit length, and w (B, K)."""

    maps: Tensor
    feature: Tensor
    embedding: Tensor
    logits: Tensor


class Encoder(nn.Module):
    """E: a wide residual net, the mean of its maps, a linear head for e and a second one on it for w.

    Args:
        channels: C of the images.
        stem: channels of the first convolution.
        widths: channels of the three groups; the last is D.
        embedding: E, length of e.
        slots: K, length of w.
        unit_features: give f unit length.
        batch_statistics: normalise by the statistics of the batch at inference too.
    """

    def __init__(
        self,
        channels: int,
        stem: int,
        widths: tuple[int, int, int],
        embedding: int,
        slots: int,
        *,
        unit_features: bool,
        batch_statistics: bool,
    ) -> None:
        super().__init__()
        self.unit = unit_features
        norm = partial(nn.BatchNorm2d, track_running_stats=not batch_statistics)
        self.body = WideResNet10(channels, stem, widths, norm)
        self.contrast = nn.Linear(widths[-1], embedding)
        self.slots = nn.Linear(embedding, slots)

    def forward(self, images: Tensor) -> Encoded:
        maps = self.body(images).float()
        mean = maps.mean(dim=(2, 3))
        embedding = self.contrast(mean)
        logits = self.slots(F.relu(embedding)).float()
        if self.unit:
            length = mean.norm(dim=1, keepdim=True).clamp_min(1e-6)
            maps, mean = maps / length[:, :, None, None], mean / length
        return Encoded(maps, mean, F.normalize(embedding.float(), dim=1), logits)
