"""A memory of prototypes without gradients: written from a queue of the newest keys, read by an image's logits.

Source: MCOD (Huyan et al., IEEE TIP 2022), memory module; the queue is that of He et al., Momentum Contrast, CVPR 2020.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """The newest keys of a momentum encoder, first in first out: features (L, D), embeddings (L, E), logits (L, K).

    Args:
        length: L, number of keys.
        feature: D.
        embedding: E.
        slots: K.
    """

    features: Tensor
    embeddings: Tensor
    logits: Tensor
    filled: Tensor

    def __init__(self, length: int, feature: int, embedding: int, slots: int) -> None:
        super().__init__()
        for name, width in (("features", feature), ("embeddings", embedding), ("logits", slots)):
            self.register_buffer(name, torch.zeros(length, width))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, features: Tensor, embeddings: Tensor, logits: Tensor) -> None:
        """Put a batch of keys (B, D), (B, E), (B, K) in front and drop the oldest."""
        length = len(self.features)
        for queue, new in ((self.features, features), (self.embeddings, embeddings), (self.logits, logits)):
            queue.copy_(torch.cat([new, queue])[:length])
        self.filled.copy_((self.filled + len(features)).clamp_max(length))

    def contents(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features, embeddings and logits of the keys in the queue."""
        count = int(self.filled)
        return self.features[:count], self.embeddings[:count], self.logits[:count]

    def clear(self) -> None:
        """Remove every key: an artifact must not hold features of single training images."""
        for buffer in self.buffers():
            buffer.zero_()


class SlotMemory(nn.Module):
    """M (K, D): written from the queue, read by the softmax of an image's logits; without gradients."""

    items: Tensor

    def __init__(self, slots: int, feature: int) -> None:
        super().__init__()
        self.register_buffer("items", F.normalize(torch.rand(slots, feature), dim=1))

    def read(self, logits: Tensor) -> Tensor:
        """f_hat (B, D)."""
        return logits.softmax(dim=1) @ self.items

    @torch.no_grad()
    def write(self, features: Tensor, logits: Tensor) -> None:
        """Write every slot: the mean of features (M, D), weighted by the softmax of logits (M, K), of unit length."""
        self.items.copy_(F.normalize(logits.softmax(dim=1).T @ features, dim=1))

    @torch.no_grad()
    def erase(self, logits: Tensor, std: float) -> None:
        """Add noise of `std` (1 - n_k / M) to every slot k; n_k of the M keys have their largest logit at k."""
        share = logits.argmax(dim=1).bincount(minlength=len(self.items)) / len(logits)
        self.items.add_(torch.randn_like(self.items) * (std * (1 - share))[:, None])
