"""Block-wise memory: divide a feature map into blocks, read each from learnt items, assemble them again.

Source: DAAD (Hou et al., ICCV 2021), section on block-wise memory; MemAE (Gong et al., ICCV 2019) for shrinkage.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from daad.errors import ConfigError

EPS = 1e-12


def legal_rates(length: int) -> list[int]:
    """Every number of equal parts that `length` can be cut into, ascending."""
    return [r for r in range(1, length + 1) if length % r == 0]


def check_division(where: str, channels: int, height: int, width: int, division_rate: tuple[int, int, int]) -> None:
    """Raise ConfigError, naming the legal values, unless (r_h, r_w, r_c) cuts the map into equal blocks."""
    for axis, length, rate in zip("hwc", (height, width, channels), division_rate, strict=True):
        if rate not in legal_rates(length):
            legal = ", ".join(map(str, legal_rates(length)))
            raise ConfigError(
                f"{where}: division rate r_{axis} = {rate} does not divide the feature map "
                f"({channels} channels, {height} x {width}); legal values of r_{axis}: {legal}"
            )


def divide(features: Tensor, division_rate: tuple[int, int, int]) -> Tensor:
    """Cut (B, C, H, W) into r_h * r_w * r_c blocks an image, flattened to queries of shape (B * Q, D)."""
    rh, rw, rc = division_rate
    return rearrange(features, "b (rc c) (rh h) (rw w) -> (b rh rw rc) (c h w)", rh=rh, rw=rw, rc=rc)


def assemble(blocks: Tensor, division_rate: tuple[int, int, int], channels: int, height: int, width: int) -> Tensor:
    """Put (B * Q, D) blocks back in their places: the inverse of `divide`, giving (B, C, H, W)."""
    rh, rw, rc = division_rate
    sizes = {"c": channels // rc, "h": height // rh, "w": width // rw}
    return rearrange(blocks, "(b rh rw rc) (c h w) -> b (rc c) (rh h) (rw w)", rh=rh, rw=rw, rc=rc, **sizes)


def shrink(weights: Tensor, threshold: float) -> Tensor:
    """MemAE's hard shrinkage: s = max(w - t, 0) * w / (|w - t| + eps), rescaled to sum to 1 (or all 0)."""
    kept = F.relu(weights - threshold) * weights / ((weights - threshold).abs() + EPS)
    return kept / kept.sum(dim=1, keepdim=True).clamp_min(EPS)


def addressing_entropy(weights: Tensor) -> Tensor:
    """Mean entropy of addressing weights (rows sum to 1), in nats; MemAE's sparsity term."""
    return -(weights * (weights + EPS).log()).sum(dim=1).mean()


class BlockMemory(nn.Module):
    """One memory bank M of N items that rebuilds every block of a feature map as a mixture of items.

    A block flattened to q in R^D, D = C H W / (r_c r_h r_w), is read as  q_hat = sum_i w_i m_i  with
    w = softmax_i(cos(q, m_i) / temperature). `temperature=None` is the paper's plain softmax (temperature 1);
    `shrinkage` is MemAE's threshold lambda on w (None: off), best given in units of 1/N.

    The items are stored as `items = M / gain` with a fixed gain: cosines do not see it, the read does. Without it the
    plain softmax, whose weights all lie near 1/N, returns a signal too faint to learn from, and the norms of M would
    have to grow by orders of magnitude first. Rows start uniform and centred (their mean is zero), so that the read
    starts as a pure function of the query and not as a constant pattern. Both are our choices: the paper is silent.
    """

    items: nn.Parameter

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        division_rate: tuple[int, int, int],
        memory_items: int,
        *,
        temperature: float | None = None,
        shrinkage: float | None = None,
        where: str = "memory",
    ) -> None:
        super().__init__()
        check_division(where, channels, height, width, division_rate)
        self.shape = (channels, height, width)
        self.division_rate = division_rate
        self.temperature = 1.0 if temperature is None else temperature
        self.shrinkage = None if shrinkage is None else shrinkage / memory_items
        rh, rw, rc = division_rate
        self.blocks = rh * rw * rc
        self.block_dim = channels * height * width // self.blocks
        bound = 1 / math.sqrt(self.block_dim)
        items = torch.empty(memory_items, self.block_dim).uniform_(-bound, bound)
        self.items = nn.Parameter(items - items.mean(dim=0))
        self.gain = read_gain(memory_items, self.block_dim, self.temperature)

    def address(self, queries: Tensor) -> Tensor:
        """Weights (rows, N) over the items for queries (rows, D); non-negative, each row sums to 1 (or is all 0)."""
        similarity = F.normalize(queries, dim=1, eps=EPS) @ F.normalize(self.items, dim=1, eps=EPS).T
        weights = torch.softmax(similarity / self.temperature, dim=1)
        return weights if self.shrinkage is None else shrink(weights, self.shrinkage)

    def read(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The rebuilt map (B, C, H, W) and the addressing weights (B * Q, N)."""
        weights = self.address(divide(features, self.division_rate))
        rebuilt = self.gain * (weights @ self.items)
        return assemble(rebuilt, self.division_rate, *self.shape), weights

    def forward(self, features: Tensor) -> Tensor:
        return self.read(features)[0]


def read_gain(memory_items: int, block_dim: int, temperature: float) -> float:
    """Gain that gives the read of a random query about unit variance at the start.

    To first order w_i - 1/N = (cos_i - mean cos) / (N t), cos_i has spread 1/sqrt(D), and an item's entries have
    spread 1/sqrt(3 D); the sum of N such terms has spread 1/(t D sqrt(3 N)). A sharp softmax (small t) saturates at
    picking single items, whose entries have spread 1/sqrt(3 D), so the gain never falls under sqrt(3 D).
    """
    dense = temperature * block_dim * math.sqrt(3 * memory_items)
    return max(dense, math.sqrt(3 * block_dim))
