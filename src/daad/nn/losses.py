"""Losses that several systems share: averages, so that the sizes of images and batches do not change their scale."""

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
    """LSGAN: mean squared distance of a discriminator's maps from `target`, summed over the scales.

    Source: Mao et al., Least Squares GAN, ICCV 2017.
    """
    return torch.stack([(logits - target).square().mean() for logits in maps]).sum()


def info_nce(query: Tensor, positive: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """InfoNCE: cross-entropy of every query's positive against all negatives, by dot product over temperature.

    Args:
        query: (B, D), rows of unit length.
        positive: (B, D), rows of unit length; row i belongs to row i of `query`.
        negatives: (M, D), rows of unit length.
        temperature: tau, above 0.

    Source: van den Oord et al., 2018.
    """
    logits = torch.cat([(query * positive).sum(dim=1, keepdim=True), query @ negatives.T], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def nt_xent(first: Tensor, second: Tensor, temperature: float, anchors: Literal["both", "first"] = "both") -> Tensor:
    """NT-Xent over the 2N rows of two sets of unit vectors.

    Args:
        first: (N, D), rows of unit length.
        second: (N, D), rows of unit length; row i is the positive of row i of `first`, all other rows are negatives.
        temperature: tau, above 0.
        anchors: rows that the loss is averaged over: both sets, or the first.

    Source: Chen et al., SimCLR, ICML 2020, eq. 1.
    """
    rows = torch.cat([first, second])
    logits = rows @ rows.T / temperature
    logits = logits.masked_fill(torch.eye(len(rows), dtype=torch.bool, device=rows.device), -torch.inf)
    positives = torch.arange(len(rows), device=rows.device).roll(len(first))
    count = len(rows) if anchors == "both" else len(first)
    return F.cross_entropy(logits[:count], positives[:count])


def reparameterise(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A sample of N(mean, variance) by the reparameterisation trick."""
    return mean + torch.randn_like(mean) * (0.5 * log_variance).exp()


def gaussian_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) | N(0, 1)), summed over the code, (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
