"""Losses that several systems share; every one is a mean, so that sizes and batches do not change its scale."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def squared_error_per_image(a: Tensor, b: Tensor) -> Tensor:
    """Mean over all elements of the squared difference of each image or feature map, (B,)."""
    return (a - b).square().flatten(1).mean(dim=1)


def real_loss(logits: Tensor) -> Tensor:
    """Binary cross-entropy of logits against 'real'; for the generator this is the non-saturating loss."""
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))


def fake_loss(logits: Tensor) -> Tensor:
    """Binary cross-entropy of logits against 'fake'."""
    return F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))
