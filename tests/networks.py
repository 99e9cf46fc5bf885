"""Networks that a user might bring."""

from __future__ import annotations

import torch
from torch import nn


class Pyramid(nn.Module):
    """Three sizes of the image's own derivatives."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv2d(1, 8, 3, padding=1)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        first = self.filters(images).relu()
        return [first, nn.functional.avg_pool2d(first, 2), nn.functional.avg_pool2d(first, 4)]
