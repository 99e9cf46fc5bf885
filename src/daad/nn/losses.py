"""Losses that several systems share; every one is a mean, so that sizes and batches do not change its scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

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


def least_squares(maps: Sequence[Tensor], target: float) -> Tensor:
    """LSGAN: the mean squared distance from `target` of a discriminator's maps, a mean for each scale, summed.

    Source: Mao et al., Least Squares GAN, ICCV 2017.
    """
    return torch.stack([(each - target).square().mean() for each in maps]).sum()


def info_nce(query: Tensor, positive: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding each row's positive among it and all negatives, by dot product over temperature.

    query and positive (B, D), negatives (M, D), rows of unit length. Source: van den Oord et al., 2018.
    """
    found = torch.cat([(query * positive).sum(dim=1, keepdim=True), query @ negatives.T], dim=1) / temperature
    return F.cross_entropy(found, torch.zeros(len(found), dtype=torch.long, device=found.device))


def nt_xent(first: Tensor, second: Tensor, temperature: float, anchors: Literal["both", "first"] = "both") -> Tensor:
    """NT-Xent over the 2N rows of two sets of unit vectors (N, D): row i of one and row i of the other belong
    together, all others are negatives. `anchors` "first" asks for the partners of the first set's rows only.
    Source: Chen et al., SimCLR, ICML 2020, eq. 1."""
    rows = torch.cat([first, second])
    found = rows @ rows.T / temperature
    found = found.masked_fill(torch.eye(len(rows), dtype=torch.bool, device=rows.device), -torch.inf)
    partner = torch.arange(len(rows), device=rows.device).roll(len(first))
    asked = len(found) if anchors == "both" else len(first)
    return F.cross_entropy(found[:asked], partner[:asked])


def sampled(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A code from N(mean, variance), by the reparametrisation."""
    return mean + torch.randn_like(mean) * (0.5 * log_variance).exp()


def gaussian_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) | N(0, 1)), summed over the code, (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
