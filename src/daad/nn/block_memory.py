"""Block-wise memory: divide a feature map into blocks, read every block from learnt items, assemble them again.

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
    """The divisors of `length`, ascending: the division rates that give equal blocks."""
    return [r for r in range(1, length + 1) if length % r == 0]


def check_division(where: str, channels: int, height: int, width: int, division_rate: tuple[int, int, int]) -> None:
    """Check that (r_h, r_w, r_c) divides a feature map into equal blocks.

    Args:
        where: name of the memory, for the error message.
        channels: C of the feature map.
        height: H of the feature map.
        width: W of the feature map.
        division_rate: (r_h, r_w, r_c), numbers of blocks along height, width and channels.

    Raises:
        ConfigError: for a rate that is no divisor, with the legal values.
    """
    for axis, length, rate in zip("hwc", (height, width, channels), division_rate, strict=True):
        if rate not in legal_rates(length):
            legal = ", ".join(map(str, legal_rates(length)))
            raise ConfigError(
                f"{where}: division rate r_{axis} = {rate} does not divide the feature map "
                f"({channels} channels, {height} x {width}); legal values of r_{axis}: {legal}"
            )


def divide(features: Tensor, division_rate: tuple[int, int, int]) -> Tensor:
    """Divide (B, C, H, W) into Q = r_h * r_w * r_c blocks an image, flattened to queries (B * Q, D)."""
    rh, rw, rc = division_rate
    return rearrange(features, "b (rc c) (rh h) (rw w) -> (b rh rw rc) (c h w)", rh=rh, rw=rw, rc=rc)


def assemble(blocks: Tensor, division_rate: tuple[int, int, int], channels: int, height: int, width: int) -> Tensor:
    """Assemble blocks into feature maps: the inverse of `divide`.

    Args:
        blocks: (B * Q, D), as `divide` orders them.
        division_rate: (r_h, r_w, r_c), the rates of `divide`.
        channels: C of the feature map.
        height: H of the feature map.
        width: W of the feature map.

    Returns:
        The maps (B, C, H, W).
    """
    rh, rw, rc = division_rate
    sizes = {"c": channels // rc, "h": height // rh, "w": width // rw}
    return rearrange(blocks, "(b rh rw rc) (c h w) -> b (rc c) (rh h) (rw w)", rh=rh, rw=rw, rc=rc, **sizes)


def shrink(weights: Tensor, threshold: float) -> Tensor:
    """MemAE's hard shrinkage: s = max(w - t, 0) * w / (|w - t| + eps), rescaled to sum to 1 (or all 0)."""
    shrunk = F.relu(weights - threshold) * weights / ((weights - threshold).abs() + EPS)
    return shrunk / shrunk.sum(dim=1, keepdim=True).clamp_min(EPS)


def addressing_entropy(weights: Tensor) -> Tensor:
    """Mean entropy of addressing weights (rows sum to 1), in nats; MemAE's sparsity term."""
    return -(weights * (weights + EPS).log()).sum(dim=1).mean()


class BlockMemory(nn.Module):
    """One memory bank M of N items that rebuilds every block of a feature map as a mixture of items.

        q in R^D, D = C H W / (r_c r_h r_w);  w = softmax_i(cos(q, m_i) / temperature);  q_hat = sum_i w_i m_i

    The items are stored as `items = M / gain` with a fixed gain. It does not change the cosines, only the read.
    Without it the weights of the plain softmax lie near 1/N, and the read is too faint to learn from. Rows are drawn
    uniformly and centred (their mean is zero). So the first read depends on the query and is no constant pattern.
    Gain and centring are our choices: the paper gives none.

    Args:
        channels: C of the feature map.
        height: H of the feature map.
        width: W of the feature map.
        division_rate: (r_h, r_w, r_c), divisors of H, W and C.
        memory_items: N, rows of M.
        temperature: divides the cosines; None: 1, the paper's plain softmax.
        shrinkage: MemAE's threshold lambda on w, in units of 1/N; None: off.
        where: name of the memory in error messages.

    Raises:
        ConfigError: for a rate that does not divide the feature map.
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

    To first order w_i - 1/N = (cos_i - mean cos) / (N t). The cosines have standard deviation 1/sqrt(D), an item's
    entries 1/sqrt(3 D). The sum of N such terms has standard deviation 1/(t D sqrt(3 N)). A sharp softmax (small t)
    picks single items, so the gain is at least sqrt(3 D).
    """
    dense = temperature * block_dim * math.sqrt(3 * memory_items)
    return max(dense, math.sqrt(3 * block_dim))
