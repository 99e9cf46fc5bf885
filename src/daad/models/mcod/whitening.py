"""Whitening of rows by a mean and covariance that are fitted to all of them, or robustly to a share of them.

Source of the robust fit: Rousseeuw & Van Driessen, A Fast Algorithm for the Minimum Covariance Determinant Estimator,
Technometrics 1999 (concentration steps, here from one start, the fit to all rows). Source of the leave-one-out
distances: Penny, Appropriate Critical Values when Testing for a Single Multivariate Outlier, Applied Statistics 1996.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from daad.nn.gaussian_field import GaussianField, oas

MAX_CONCENTRATIONS = 10  # a few are enough
SMALLEST_REMAINDER = 1e-6  # of the covariance without a row


class Whitening(nn.Module):
    """Mean `bias` (D,) and `whitening` V (D, D) of rows (N, D), estimated in float64.

    |V (row - bias)|^2 is the squared Mahalanobis distance over D, about 1 on average for the `count` fitted rows. The
    covariance is shrunk by OAS; `shrinkage` is OAS's share.
    """

    bias: Tensor
    whitening: Tensor
    count: Tensor
    shrinkage: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("bias", torch.zeros(width))
        self.register_buffer("whitening", torch.eye(width))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("shrinkage", torch.zeros(()))

    def fit(self, rows: Tensor, support_fraction: float = 1.0) -> None:
        """Estimate mean and covariance of rows (N, D).

        A `support_fraction` below 1 uses the share of the rows that lies nearest, so that outliers do not inflate the
        covariance. Raises TrainingError for rows that are not finite.
        """
        self._fit(rows)
        count, support = max(2, round(support_fraction * len(rows))), None
        for _ in range(MAX_CONCENTRATIONS if count < len(rows) else 0):
            nearest = self(rows - self.bias).square().sum(dim=1).argsort(stable=True)[:count].sort().values
            if support is not None and torch.equal(nearest, support):
                return
            support = nearest
            self._fit(rows[support])

    def _fit(self, rows: Tensor) -> None:
        field = GaussianField(1, rows.shape[1])
        field.update(rows[:, None])
        self.bias.copy_(field.mean[0])
        self.whitening.copy_(field.whitening("oas", 0.0)[0] / rows.shape[1] ** 0.5)
        self.count.fill_(len(rows))
        self.shrinkage.copy_(oas(field.covariance(), len(rows))[0])

    def leave_one_out(self, distances: Tensor) -> Tensor:
        """Leave-one-out |V (row - bias)|^2 (N,) from those of all rows of `fit`.

        A fitted row pulls mean and covariance towards itself, above all where rows are few, so its distance is too
        small. The `count` smallest distances are those of the fitted rows; the others do not change. The shrinkage is
        kept, which is rough where there are fewer rows than dimensions.
        """
        count, width = int(self.count), len(self.bias)
        corrected = distances.double().clone()
        fitted = corrected.argsort(stable=True)[:count]
        leverage = (1 - self.shrinkage.to(corrected)) * corrected[fitted] * width / max(count - 1, 1)
        corrected[fitted] *= count / max(count - 1, 1) / (1 - leverage).clamp_min(SMALLEST_REMAINDER)
        return corrected

    def forward(self, rows: Tensor) -> Tensor:
        """V row for rows (..., D)."""
        return rows @ self.whitening.T
