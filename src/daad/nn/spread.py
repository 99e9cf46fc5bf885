"""How one set of numbers commonly varies, and rows measured in units of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from daad.nn.gaussian_field import GaussianField


class Spread(nn.Module):
    """`bias` (D,), the mean of rows (N, D), and `whitening` V (D, D): |V (row - bias)|^2 is the squared Mahalanobis
    distance over D, about 1 on average for the rows it was fitted to. Covariance shrunk by OAS; float64 inside."""

    bias: Tensor
    whitening: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("bias", torch.zeros(width))
        self.register_buffer("whitening", torch.eye(width))

    def fit(self, rows: Tensor) -> None:
        """Learn both. Raises TrainingError for rows that are not finite."""
        field = GaussianField(1, rows.shape[1])
        field.update(rows[:, None])
        self.bias.copy_(field.mean[0])
        self.whitening.copy_(field.whitening("oas", 0.0)[0] / rows.shape[1] ** 0.5)

    def forward(self, rows: Tensor) -> Tensor:
        """V row for each of rows (..., D)."""
        return rows @ self.whitening.T
