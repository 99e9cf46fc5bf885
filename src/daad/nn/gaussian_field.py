"""A Gaussian at every place of feature maps: estimated in a stream, mergeable, and turned into distances soundly.

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
PLACES_AT_ONCE = 256


class GaussianField:
    """Mean (P, D) and scatter (P, D, D), the summed outer products about it, of D features at P places; float64."""

    def __init__(self, places: int, features: int) -> None:
        self.count = 0
        self.mean = torch.zeros(places, features, dtype=torch.float64)
        self.scatter = torch.zeros(places, features, features, dtype=torch.float64)

    def update(self, features: Tensor) -> None:
        """Add a batch (B, P, D)."""
        values = features.detach().to(self.mean)
        mean = values.mean(dim=0)
        apart = (values - mean).transpose(0, 1)  # (P, B, D)
        self._add(len(values), mean, lambda part: apart[part].transpose(1, 2) @ apart[part])

    def merge(self, other: GaussianField) -> None:
        """Add what another field, of other images, has seen."""
        self._add(other.count, other.mean, lambda part: other.scatter[part])

    def _add(self, count: int, mean: Tensor, scatter: Callable[[slice], Tensor]) -> None:
        total = self.count + count
        if not count:
            return
        apart = mean - self.mean
        for part in parts(len(mean)):
            between = apart[part, :, None] * apart[part, None, :] * (self.count * count / total)
            self.scatter[part].add_(scatter(part)).add_(between)
        self.mean = self.mean + apart * (count / total)
        self.count = total

    def covariance(self) -> Tensor:
        """The scatter over the number of images, (P, D, D)."""
        return self.scatter / max(self.count, 1)

    def whitening(self, shrinkage: Shrinkage, ridge: float) -> Tensor:
        """W (P, D, D), lower triangular, float64: |W (x - mean)| is the Mahalanobis distance.

        Each covariance is drawn towards a round one of the same trace, by the given share or by OAS; then `ridge` times
        the mean variance of all places is added to its diagonal. No standard deviation is below a ten-thousandth of
        what the feature measures at that place (its root mean square), nor below 1e-4: less is float32's rounding.
        Raises TrainingError where features are not finite.
        """
        if not self.mean.isfinite().all() or not self.scatter.isfinite().all():
            raise TrainingError("the features of the training images are not finite; mend the network that gives them")
        eye = torch.eye(self.mean.shape[1]).to(self.scatter)
        variance = (self.scatter.diagonal(dim1=1, dim2=2) / max(self.count, 1)).mean(dim=1)[:, None, None]
        rounding = (ROUNDING * self.mean).square() + SMALLEST_VARIANCE
        found = torch.empty_like(self.scatter)
        for part in parts(len(found)):
            covariance = self.scatter[part] / max(self.count, 1)
            share = oas(covariance, self.count)[:, None, None] if shrinkage == "oas" else shrinkage
            sound = (1 - share) * covariance + share * variance[part] * eye
            sound = sound + ridge * variance.mean() * eye + torch.diag_embed(rounding[part])
            found[part] = torch.linalg.solve_triangular(torch.linalg.cholesky(sound), eye, upper=False)
        return found


def parts(places: int) -> Iterator[slice]:
    """Some hundred places at a time: what is worked out for them must not take a multiple of the field's memory."""
    return (slice(start, start + PLACES_AT_ONCE) for start in range(0, places, PLACES_AT_ONCE))


def oas(covariance: Tensor, count: int) -> Tensor:
    """The oracle approximating shrinkage of covariances (P, D, D) of `count` samples, each in [0, 1]."""
    width = covariance.shape[-1]
    alpha = covariance.square().mean(dim=(1, 2))
    level = (covariance.diagonal(dim1=1, dim2=2).mean(dim=1)).square()
    numerator, denominator = alpha + level, (count + 1) * (alpha - level / width)
    return torch.where(denominator > 0, numerator / denominator, torch.ones_like(alpha)).clamp(0, 1)
