"""A Gaussian at every position of feature maps: estimated batch by batch, mergeable, with regularised whitening.

Source: PaDiM (Defard et al., ICPR 2021); merging as Chan et al., 1983; shrinkage as Chen et al., Shrinkage Algorithms
for MMSE Covariance Estimation, 2010 (OAS).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor

from daad.errors import TrainingError

Shrinkage = Literal["oas"] | float
SMALLEST_VARIANCE = 1e-8
ROUNDING = 1e-4
POSITIONS_AT_ONCE = 256


class GaussianField:
    """Mean (P, D) and scatter (P, D, D), the summed outer products about it, of D features at P positions; float64."""

    def __init__(self, positions: int, features: int) -> None:
        self.count = 0
        self.mean = torch.zeros(positions, features, dtype=torch.float64)
        self.scatter = torch.zeros(positions, features, features, dtype=torch.float64)

    def update(self, features: Tensor) -> None:
        """Add a batch (B, P, D)."""
        values = features.detach().to(self.mean)
        mean = values.mean(dim=0)
        centred = (values - mean).transpose(0, 1)  # (P, B, D)
        self._add(len(values), mean, lambda chunk: centred[chunk].transpose(1, 2) @ centred[chunk])

    def merge(self, other: GaussianField) -> None:
        """Add the statistics of another field, of other images."""
        self._add(other.count, other.mean, lambda chunk: other.scatter[chunk])

    def _add(self, count: int, mean: Tensor, scatter: Callable[[slice], Tensor]) -> None:
        total = self.count + count
        if not count:
            return
        shift = mean - self.mean
        for chunk in chunks(len(mean)):
            between = shift[chunk, :, None] * shift[chunk, None, :] * (self.count * count / total)
            self.scatter[chunk].add_(scatter(chunk)).add_(between)
        self.mean = self.mean + shift * (count / total)
        self.count = total

    def covariance(self) -> Tensor:
        """The scatter over the number of images, (P, D, D)."""
        return self.scatter / max(self.count, 1)

    def whitening(self, shrinkage: Shrinkage, ridge: float) -> Tensor:
        """W (P, D, D), lower triangular, float64: |W (x - mean)| is the Mahalanobis distance.

        Every covariance is shrunk towards a multiple of the identity with the same trace. Then a ridge is added to its
        diagonal. At last the diagonal is raised against float32's rounding: by (1e-4 times the mean)^2 and 1e-8.

        Args:
            shrinkage: share of the multiple of the identity, 0 to 1, or "oas".
            ridge: added to the diagonals, in units of the mean variance of all positions.

        Raises:
            TrainingError: where features are not finite.
        """
        if not self.mean.isfinite().all() or not self.scatter.isfinite().all():
            raise TrainingError("the features of the training images are not finite; mend the network that gives them")
        eye = torch.eye(self.mean.shape[1]).to(self.scatter)
        variance = (self.scatter.diagonal(dim1=1, dim2=2) / max(self.count, 1)).mean(dim=1)[:, None, None]
        rounding = (ROUNDING * self.mean).square() + SMALLEST_VARIANCE
        whitening = torch.empty_like(self.scatter)
        for chunk in chunks(len(whitening)):
            covariance = self.scatter[chunk] / max(self.count, 1)
            share = oas(covariance, self.count)[:, None, None] if shrinkage == "oas" else shrinkage
            regularised = (1 - share) * covariance + share * variance[chunk] * eye
            regularised = regularised + ridge * variance.mean() * eye + torch.diag_embed(rounding[chunk])
            whitening[chunk] = torch.linalg.solve_triangular(torch.linalg.cholesky(regularised), eye, upper=False)
        return whitening


def chunks(positions: int) -> Iterator[slice]:
    """Slices of some hundred positions: intermediate results must not take a multiple of the field's memory."""
    return (slice(start, start + POSITIONS_AT_ONCE) for start in range(0, positions, POSITIONS_AT_ONCE))


def oas(covariance: Tensor, count: int) -> Tensor:
    """The oracle approximating shrinkage of covariances (P, D, D) of `count` samples, each in [0, 1]."""
    width = covariance.shape[-1]
    alpha = covariance.square().mean(dim=(1, 2))
    level = (covariance.diagonal(dim1=1, dim2=2).mean(dim=1)).square()
    numerator, denominator = alpha + level, (count + 1) * (alpha - level / width)
    return torch.where(denominator > 0, numerator / denominator, torch.ones_like(alpha)).clamp(0, 1)
