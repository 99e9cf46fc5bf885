"""UTAD's settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from daad.errors import ConfigError
from daad.stages import Size, TrainedConfig

LATENT: Mapping[Size, int] = {"nano": 8, "small": 32, "paper": 128}
# what the encoder's four blocks divide the map by
POOLS: Mapping[Size, tuple[int, int, int, int]] = {"nano": (2, 2, 2, 2), "small": (2, 2, 2, 2), "paper": (4, 2, 2, 2)}


class UTADConfig(TrainedConfig):
    """Settings of UTAD. `steps`, `epochs`, `batch_size` and `learning_rate` are those of stage 1."""

    batch_size: int = Field(32, ge=2, le=4096, description="images a step of stage 1")
    latent: int | None = Field(None, ge=1, le=4096, description="length of mu; None: from size")
    lambda_rec: float = Field(100.0, ge=0, description="weight of |x - m|^2")
    lambda_local: float = Field(1.5, ge=0, description="weight of the information between positions and code")
    lambda_global: float = Field(0.5, ge=0, description="weight of the information between the pooled map and code")
    lambda_prior: float = Field(0.1, ge=0, description="weight of KL(code | N(0, 1))")
    lambda_gan: float = Field(0.1, ge=0, description="weight of the impression's GAN")
    image_gan: bool = Field(False, description="train with an image discriminator of impressions (the paper)")
    critic_learning_rate: float = Field(1e-4, gt=0, le=1, description="Adam's for stage 1's discriminators")
    expert_steps: int = Field(500, ge=1, description="steps of stage 2")
    expert_batch_size: int = Field(4, ge=1, le=4096, description="images a step of stage 2")
    expert_learning_rate: float = Field(1e-4, gt=0, le=1, description="Adam's for stage 2")
    detail: int = Field(8, ge=1, le=1024, description="length of the detail code")
    lambda_image: float = Field(10.0, ge=0, description="weight of reconstructing the images of both domains, L1")
    lambda_code: float = Field(1.0, ge=0, description="weight of reconstructing content and detail codes, L1")
    paired: bool = Field(True, description="also minimise |x - x_hat|, L1; off: domains are not paired, as in MUNIT")
    lambda_paired: float = Field(10.0, ge=0, description="weight of |x - x_hat|")
    random_codes: int = Field(2, ge=0, le=100, description="random details for V; 0 or 1: V is 0")
    measure: Literal["structure", "lite0"] = Field(
        "structure", description="perceptual measure: edges and SSIM, or ImageNet features (extra lite0)"
    )
    score: Literal["map", "neighbours", "both"] = Field(
        "map", description="maximum of the map, distance of mu to its neighbours, or the mean of both, standardised"
    )
    neighbours: int = Field(5, ge=1, le=1000, description="k of the neighbours of mu")
    bank_items: int = Field(1000, ge=1, le=100_000, description="random training images whose codes are kept")
    map_sigma: float = Field(1.0, ge=0, le=64, description="Gaussian smoothing of the anomaly map, in model pixels")

    @model_validator(mode="after")
    def _legal_shape(self) -> Self:
        multiple = math.prod(POOLS[self.size])
        for name, length in (("height", self.height), ("width", self.width)):
            if length % multiple:
                raise ConfigError(f"{name} {length} must be a multiple of {multiple}")
        return self

    @property
    def code_length(self) -> int:
        """The length of mu."""
        return self.latent or LATENT[self.size]
