"""PaDiM: a Gaussian of features at every position; the anomaly map is the Mahalanobis distance.

Source: Defard et al., "PaDiM: a Patch Distribution Modeling Framework", ICPR 2021; on features learnt by CCD (Tian et
al., MICCAI 2021), one of that paper's two detectors.

    x -> features -> maps 1..3, resized to one size -> D random channels -> f_p at position p
    M(p) = sqrt((f_p - mu_p)^T Sigma_p^-1 (f_p - mu_p)) -> smoothed map;  A(x) = its maximum
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from daad.errors import ConfigError
from daad.models.base import Output
from daad.models.feature_model import FeatureModel, FeatureModelConfig
from daad.nn.error_maps import GaussianBlur
from daad.nn.gaussian_field import GaussianField, Shrinkage
from daad.presets import Preset
from daad.stages import Batches, ModelConfig, Size, Stage

DIMENSIONS: Mapping[Size, int] = {"nano": 12, "small": 50, "paper": 100}
LAYERS = 3
NO_DISTANCE = 0.5  # smaller distances are float32's rounding of 0; those of good images are about sqrt(D)
BYTES_PER_ENTRY = 20  # of a matrix entry during the fit: scatter and whitening in float64, the result in float32
LARGEST_FIELD = 4 * 2**30  # bytes of the matrices of all positions during the fit


class PaDiMConfig(FeatureModelConfig):
    """Settings of PaDiM."""

    dimensions: int | None = Field(None, ge=1, le=4096, description="D, number of random channels; None: from size")
    stride: int = Field(4, ge=1, le=64, description="image pixels from one position to the next")
    shrinkage: Literal["oas"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "oas", description="shrinkage of every covariance towards a multiple of the identity, 0 to 1, or oas"
    )
    ridge: float = Field(0.01, ge=0, description="added to the diagonals, in units of the mean variance")
    map_sigma: float = Field(1.0, ge=0, le=64, description="Gaussian smoothing of the anomaly map, in model pixels")

    @property
    def kept_dimensions(self) -> int:
        """D."""
        return self.dimensions or DIMENSIONS[self.size]


class PositionGaussians(nn.Module):
    """A Gaussian for every of P = h * w positions: mean (P, D), whitening (P, D, D).

    `picked` (D,) are its channels of the concatenated maps. `shapes` are (C, H, W) of the maps, `size` is (h, w).
    """

    picked: Tensor
    mean: Tensor
    whitening: Tensor

    def __init__(self, shapes: Sequence[tuple[int, int, int]], dimensions: int, size: tuple[int, int]) -> None:
        super().__init__()
        available = sum(shape[0] for shape in shapes)
        dimensions, positions = min(dimensions, available), size[0] * size[1]
        needed = BYTES_PER_ENTRY * positions * dimensions**2
        if needed > LARGEST_FIELD:
            raise ConfigError(
                f"{positions} places of {dimensions} dimensions need {needed / 2**30:.1f} GiB to learn, above "
                f"{LARGEST_FIELD / 2**30:.0f} GiB; raise stride, or lower dimensions or image_size"
            )
        self.size = size
        self.register_buffer("picked", torch.randperm(available)[:dimensions].sort().values)
        self.register_buffer("mean", torch.zeros(positions, dimensions))
        self.register_buffer("whitening", torch.eye(dimensions).repeat(positions, 1, 1))

    def gather(self, maps: Sequence[Tensor]) -> Tensor:
        """f_p: maps (B, C_i, h_i, w_i) -> (B, P, D)."""
        resized = [F.interpolate(level, self.size, mode="bilinear", align_corners=False) for level in maps]
        return torch.cat(resized, dim=1)[:, self.picked].flatten(2).transpose(1, 2)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """M(p), (B, 1, h, w)."""
        centred = (self.gather(maps) - self.mean).permute(1, 2, 0)  # (P, D, B)
        squared = (self.whitening @ centred).square().sum(dim=1)
        distances: Tensor = squared.T.clamp_min(1e-12).sqrt().reshape(-1, 1, *self.size)
        return torch.where(distances > NO_DISTANCE, distances, 0.0)

    def fit(self, maps: Iterable[Sequence[Tensor]], shrinkage: Shrinkage, ridge: float) -> None:
        """Fit the Gaussians to the maps of good images, batch by batch."""
        field = GaussianField(*self.mean.shape)
        for batch in maps:
            field.update(self.gather(batch))
        self.mean.copy_(field.mean)
        self.whitening.copy_(field.whitening(shrinkage, ridge))


class PaDiM(FeatureModel):
    """See the module's docstring; score and map are Mahalanobis distances, 0 or more."""

    Config: ClassVar[type[ModelConfig]] = PaDiMConfig
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(256, {"size": "paper", "map_sigma": 4.0, "shrinkage": 0.0}),
        "small": Preset(64, {"size": "small"}),
    }
    config: PaDiMConfig

    def __init__(self, config: PaDiMConfig, network: nn.Module | None = None) -> None:
        super().__init__(config, network)
        size = (-(-config.height // config.stride), -(-config.width // config.stride))
        self.places = PositionGaussians(self.shapes[:LAYERS], config.kept_dimensions, size)
        self.blur = GaussianBlur(config.map_sigma, config.height, config.width)

    def forward(self, images: Tensor) -> Output:
        distances = self.places(self.features(images)[:LAYERS])
        full_size = F.interpolate(distances, images.shape[-2:], mode="bilinear", align_corners=False)
        anomaly_map = self.blur(full_size)[:, 0]
        return Output(anomaly_map.amax(dim=(1, 2)), anomaly_map, None)

    def stages(self, images: int) -> list[Stage]:
        return [*self.features.stages(images), Stage("gaussians", end=self.fit_gaussians)]

    def fit_gaussians(self, batches: Batches) -> None:
        """Fit the Gaussians to all training images."""
        config = self.config
        self.places.fit((self.frozen_maps(images)[:LAYERS] for images in batches()), config.shrinkage, config.ridge)
