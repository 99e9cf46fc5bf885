"""How one set of numbers commonly varies, and rows measured in units of it.

Source of the robust fit: Rousseeuw & Van Driessen, A Fast Algorithm for the Minimum Covariance Determinant Estimator,
Technometrics 1999 (concentration steps, here from one start, the fit to all rows). Of distances without a row's own
part: Penny, Appropriate Critical Values when Testing for a Single Multivariate Outlier, Applied Statistics 1996.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from daad.nn.gaussian_field import GaussianField, oas

CONCENTRATIONS = 10  # at most; a few are enough
SMALLEST_REST = 1e-6  # of the covariance, once a row's own part is taken out


class Spread(nn.Module):
    """`bias` (D,), the mean of rows (N, D), and `whitening` V (D, D): |V (row - bias)|^2 is the squared Mahalanobis
    distance over D, about 1 on average for the `count` rows it was fitted to. Covariance shrunk by OAS, the share
    `shrinkage`; float64 inside."""

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
        self.count.fill_(len(rows))
        self.shrinkage.copy_(oas(field.covariance(), len(rows))[0])

    def unseen(self, distances: Tensor) -> Tensor:
        """The |V (row - bias)|^2 (N,) of the rows of `fit`, each as if it had not been among those that were learnt
        from: these draw mean and covariance towards them, above all where they are few, and look nearer than they are.

        The `count` smallest are of what was learnt from, as the steps of `fit` leave it; the rest stays. Share and
        level of the shrinkage are taken as they are, which is rough where there are fewer rows than dimensions.
        """
        count, width = int(self.count), len(self.bias)
        found = distances.double().clone()
        learnt = found.argsort(stable=True)[:count]
        own = (1 - self.shrinkage.to(found)) * found[learnt] * width / max(count - 1, 1)
        found[learnt] *= count / max(count - 1, 1) / (1 - own).clamp_min(SMALLEST_REST)
        return found

    def forward(self, rows: Tensor) -> Tensor:
        """V row for each of rows (..., D)."""
        return rows @ self.whitening.T
