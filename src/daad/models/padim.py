"""PaDiM: a Gaussian of features at each place; a place is anomalous by its Mahalanobis distance.

Source: Defard et al., "PaDiM: a Patch Distribution Modeling Framework", ICPR 2021; on features learnt by CCD (Tian et
al., MICCAI 2021), one of that paper's two detectors.

    x -> features -> maps 1..3, brought to one size -> D channels by chance -> f_p at place p
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

KEPT: Mapping[Size, int] = {"nano": 12, "small": 50, "paper": 100}
LAYERS = 3
NO_DISTANCE = 0.5  # what float32 may make of nothing; a good image is about the root of D away
NUMBER_BYTES = 20  # of a number of the matrices while they are learnt: scatter and whitening in float64, and the result
LARGEST_FIELD = 4 * 2**30  # bytes of all the places' matrices, while they are learnt


class PaDiMConfig(FeatureModelConfig):
    """Settings of PaDiM."""

    dimensions: int | None = Field(None, ge=1, le=4096, description="D, channels kept by chance; None: from size")
    stride: int = Field(4, ge=1, le=64, description="image pixels from one place to the next")
    shrinkage: Literal["oas"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "oas", description="share of a round covariance in each place's, 0 to 1, or oas"
    )
    ridge: float = Field(0.01, ge=0, description="added to the diagonals, in units of the mean variance")
    map_sigma: float = Field(1.0, ge=0, le=64, description="Gaussian smoothing of the anomaly map, in model pixels")

    @property
    def kept_dimensions(self) -> int:
        """D."""
        return self.dimensions or KEPT[self.size]


class Places(nn.Module):
    """The Gaussians: `picked` channels (D,) of the joined maps, mean (P, D), whitening (P, D, D), P = h * w."""

    picked: Tensor
    mean: Tensor
    whitening: Tensor

    def __init__(self, shapes: Sequence[tuple[int, int, int]], dimensions: int, size: tuple[int, int]) -> None:
        super().__init__()
        available = sum(shape[0] for shape in shapes)
        kept, places = min(dimensions, available), size[0] * size[1]
        needed = NUMBER_BYTES * places * kept**2
        if needed > LARGEST_FIELD:
            raise ConfigError(
                f"{places} places of {kept} dimensions need {needed / 2**30:.1f} GiB to learn, above "
                f"{LARGEST_FIELD / 2**30:.0f} GiB; raise stride, or lower dimensions or image_size"
            )
        self.size = size
        self.register_buffer("picked", torch.randperm(available)[:kept].sort().values)
        self.register_buffer("mean", torch.zeros(places, kept))
        self.register_buffer("whitening", torch.eye(kept).repeat(places, 1, 1))

    def gather(self, maps: Sequence[Tensor]) -> Tensor:
        """f_p: maps (B, C_i, h_i, w_i) -> (B, P, D)."""
        joined = [F.interpolate(each, self.size, mode="bilinear", align_corners=False) for each in maps]
        return torch.cat(joined, dim=1)[:, self.picked].flatten(2).transpose(1, 2)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """M(p), (B, 1, h, w)."""
        apart = (self.gather(maps) - self.mean).permute(1, 2, 0)  # (P, D, B)
        squares = (self.whitening @ apart).square().sum(dim=1)
        distances: Tensor = squares.T.clamp_min(1e-12).sqrt().reshape(-1, 1, *self.size)
        return torch.where(distances > NO_DISTANCE, distances, 0.0)

    def fit(self, maps: Iterable[Sequence[Tensor]], shrinkage: Shrinkage, ridge: float) -> None:
        """Learn the Gaussians from the maps of good images, batch by batch."""
        field = GaussianField(*self.mean.shape)
        for of_batch in maps:
            field.update(self.gather(of_batch))
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
        self.places = Places(self.shapes[:LAYERS], config.kept_dimensions, size)
        self.blur = GaussianBlur(config.map_sigma, config.height, config.width)

    def forward(self, images: Tensor) -> Output:
        distances = self.places(self.features(images)[:LAYERS])
        full_size = F.interpolate(distances, images.shape[-2:], mode="bilinear", align_corners=False)
        anomaly_map = self.blur(full_size)[:, 0]
        return Output(anomaly_map.amax(dim=(1, 2)), anomaly_map, None)

    def stages(self, images: int) -> list[Stage]:
        return [*self.features.stages(images), Stage("gaussians", end=self.fit_places)]

    def fit_places(self, batches: Batches) -> None:
        """The Gaussians of all training images."""
        config = self.config
        self.places.fit((self.frozen(images)[:LAYERS] for images in batches()), config.shrinkage, config.ridge)
