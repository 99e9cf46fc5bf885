"""How one set of numbers commonly varies, and rows measured in units of it.

Source of the robust fit: Rousseeuw & Van Driessen, A Fast Algorithm for the Minimum Covariance Determinant Estimator,
Technometrics 1999 (concentration steps, here from one start, the fit to all rows).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from daad.nn.gaussian_field import GaussianField

CONCENTRATIONS = 10  # at most; a few are enough


class Spread(nn.Module):
    """`bias` (D,), the mean of rows (N, D), and `whitening` V (D, D): |V (row - bias)|^2 is the squared Mahalanobis
    distance over D, about 1 on average for the rows it was fitted to. Covariance shrunk by OAS; float64 inside."""

    bias: Tensor
    whitening: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("bias", torch.zeros(width))
        self.register_buffer("whitening", torch.eye(width))

    def fit(self, rows: Tensor, support_fraction: float = 1.0) -> None:
        """Learn both; of all rows, or of that share of them which lies nearest by what is learnt, so that a few odd
        rows do not stretch the units they are measured in. Raises TrainingError for rows that are not finite."""
        self._fit(rows)
        support, kept = max(2, round(support_fraction * len(rows))), None
        for _ in range(CONCENTRATIONS if support < len(rows) else 0):
            nearest = self(rows - self.bias).square().sum(dim=1).argsort(stable=True)[:support].sort().values
            if kept is not None and torch.equal(nearest, kept):
                return
            kept = nearest
            self._fit(rows[kept])

    def _fit(self, rows: Tensor) -> None:
        field = GaussianField(1, rows.shape[1])
        field.update(rows[:, None])
        self.bias.copy_(field.mean[0])
        self.whitening.copy_(field.whitening("oas", 0.0)[0] / rows.shape[1] ** 0.5)

    def forward(self, rows: Tensor) -> Tensor:
        """V row for each of rows (..., D)."""
        return rows @ self.whitening.T
