"""DAAD and DAAD+: divide feature maps into blocks, rebuild every block from memory, assemble, reconstruct the image.

Source: Hou et al., "Divide-and-Assemble: Learning Block-wise Memory for Unsupervised Anomaly Detection", ICCV 2021.

    x -> F1..F4 -> Memory 4 (1/2), Memory 3 (1/4), Memory 2 (1/8), Memory 1 (1/16) -> decoder -> x_hat
    DAAD :  L = lambda_rec L_rec                                      A(x) = R(x)
    DAAD+:  L = lambda_rec L_rec + lambda_adv L_adv + lambda_ali L_ali    A(x) = gamma R(x) + (1 - gamma) L(x)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from daad.models.autoencoders import (
    SMALL,
    SMALLEST_DEVIATION,
    MemoryConfig,
    Reconstructor,
    adam,
    check_batch_statistics,
)
from daad.models.base import Output
from daad.models.daad.discriminator import Discriminator
from daad.nn.block_memory import check_division, legal_rates
from daad.nn.convs import reestimate_batch_norms
from daad.nn.corruption import corrupt
from daad.nn.generator import LEVELS, MULTIPLE
from daad.nn.losses import fake_loss, real_loss, squared_error_per_image
from daad.presets import Preset
from daad.stages import Batches, ModelConfig, Player, Stage

Rate = tuple[int, int, int]


SMALL_DAAD: Mapping[str, Any] = {**SMALL, "temperature": 0.03, "patch": 32}
SMALL_DAAD_PLUS: Mapping[str, Any] = {
    **SMALL_DAAD,
    "learning_rate": 1e-3,
    "lambda_adv": 0.01,
    "lambda_ali": 0.01,
    "gamma": 0.5,
    "balance": True,
}


def legal_patches(length: int) -> list[int]:
    """The sides of a block, in image pixels, that divide an image side and its maps at all scales into equal blocks."""
    sides = [length >> level for level in range(1, LEVELS + 1)]
    rates = [rate for rate in legal_rates(length) if all(side % min(rate, side) == 0 for side in sides)]
    return [length // rate for rate in reversed(rates) if length // rate > 1]


class DAADConfig(MemoryConfig):
    """Settings of DAAD. The paper gives no values; rates, N, widths and weights are our choices.

    `division_rate` is the granularity, in numbers of blocks: a large rate gives small blocks.

    - One number r: r_h = r_w = r and r_c = 1 at every scale, at most the side of the map.
    - (r_h, r_w, r_c): the same three at every scale.
    - Four such triples: one for every scale, 1/2 first.
    - None: blocks of `patch` x `patch` image pixels at every scale; where a side has no such divisor, the next smaller.
    """

    division_rate: int | Rate | tuple[Rate, Rate, Rate, Rate] | None = Field(
        None, description="r, (r_h, r_w, r_c), or a triple for every scale from 1/2 to 1/16; None: from patch"
    )
    patch: int = Field(
        16,
        ge=2,
        description="side of a block in image pixels, or the next smaller legal one, where division_rate is None",
    )
    memory_scales: int = Field(
        LEVELS,
        ge=1,
        le=LEVELS,
        description="number of scales with a memory, from the bottleneck up; the others have no path",
    )

    @model_validator(mode="after")
    def _legal_blocks(self) -> Self:
        for level, rate in enumerate(self.rates, start=1):
            check_division(f"memory at 1/{2**level}", *self.level_shape(level), rate)
        return self

    @property
    def rates(self) -> tuple[Rate, ...]:
        """(r_h, r_w, r_c) of every scale, 1/2 first."""
        rate = self.division_rate
        if isinstance(rate, tuple) and isinstance(rate[0], tuple):
            return tuple(r for r in rate if isinstance(r, tuple))
        return tuple(self._rate_at(level, rate) for level in range(1, LEVELS + 1))

    def _rate_at(self, level: int, rate: int | Rate | None) -> Rate:
        if isinstance(rate, tuple):
            return rate
        _, height, width = self.level_shape(level)
        if rate is not None:
            return min(rate, height), min(rate, width), 1
        patch_height, patch_width = (
            max(p for p in legal_patches(length) if p <= self.patch) for length in (self.height, self.width)
        )
        return min(self.height // patch_height, height), min(self.width // patch_width, width), 1


class DAAD(Reconstructor):
    """Autoencoder in which every path from encoder to decoder is a block-wise memory."""

    Config: ClassVar[type[ModelConfig]] = DAADConfig
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(256, {"size": "paper", "epochs": 300, "map_sigma": 4.0}),
        "small": Preset(64, SMALL_DAAD),
    }

    def __init__(self, config: DAADConfig) -> None:
        first = LEVELS - config.memory_scales + 1
        memories = [
            config.memory(level, rate) if level >= first else None for level, rate in enumerate(config.rates, start=1)
        ]
        super().__init__(config, memories)

    @classmethod
    def size_multiple(cls, settings: Mapping[str, Any]) -> int:
        """A multiple of `patch`, where the granularity is given by it. An illegal `patch` is left to the config."""
        patch = settings.get("patch")
        if not isinstance(patch, int) or patch < 1 or settings.get("division_rate"):
            return MULTIPLE
        return math.lcm(MULTIPLE, patch)


class DAADPlusConfig(DAADConfig):
    """Settings of DAAD+: DAAD's, the discriminator's, and the weights of the added terms (those of Skip-GANomaly)."""

    learning_rate: float = Field(2e-4, gt=0, le=1, description="Adam's learning rate of both players")
    betas: tuple[float, float] = Field((0.5, 0.999), description="Adam's betas of both players")
    lambda_adv: float = Field(1.0, ge=0, description="weight of L_adv")
    lambda_ali: float = Field(1.0, ge=0, description="weight of L_ali, the alignment of discriminator features")
    gamma: float = Field(0.9, ge=0, le=1, description="share of R in the score; the rest is L")
    balance: bool = Field(False, description="divide R and L by their standard deviations over the training images")
    discriminator_width: int | None = Field(None, ge=1, description="channels of its first layer; None: from size")
    discriminator_max_width: int = Field(512, ge=1, description="its most channels; they double at every layer")
    discriminator_features: int = Field(100, ge=1, description="length of f_D at every position")


DISCRIMINATOR_WIDTHS = {"nano": 8, "small": 16, "paper": 64}


class DAADPlus(DAAD):
    """DAAD with adversarial training; the score includes the error of discriminator features."""

    Config: ClassVar[type[ModelConfig]] = DAADPlusConfig
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(256, {"size": "paper", "epochs": 300, "map_sigma": 4.0}),
        "small": Preset(64, SMALL_DAAD_PLUS),
    }
    config: DAADPlusConfig
    spread: Tensor

    def __init__(self, config: DAADPlusConfig) -> None:
        super().__init__(config)
        self.discriminator = Discriminator(
            config.channels,
            config.height,
            config.width,
            width=config.discriminator_width or DISCRIMINATOR_WIDTHS[config.size],
            max_width=config.discriminator_max_width,
            features=config.discriminator_features,
        )
        self.register_buffer("spread", torch.ones(2))  # deviations of R and L over the training images, with `balance`

    def forward(self, images: Tensor) -> Output:
        output = super().forward(images)
        r_x, l_x = self.terms(images, output) / self.spread[:, None]  # R(x) and L(x)
        gamma = self.config.gamma
        return output._replace(score=gamma * r_x + (1 - gamma) * l_x)

    def terms(self, images: Tensor, output: Output) -> Tensor:
        """R(x) and L(x), (2, B): the errors of the images and of their discriminator features."""
        assert output.reconstruction is not None
        real = self.discriminator.features(images)
        fake = self.discriminator.features(output.reconstruction)
        return torch.stack([output.score, squared_error_per_image(real, fake)])

    def stages(self, images: int) -> list[Stage]:
        config = self.config
        check_batch_statistics(config, images)
        latest: dict[str, Tensor] = {}  # x_hat of the generator's step, for the discriminator's step

        def generator_loss(batch: Tensor) -> dict[str, Tensor]:
            rebuilt = self.generator(corrupt(batch, config.corruption))
            latest["fake"] = rebuilt.detach()
            with torch.no_grad():
                real_features = self.discriminator.features(batch)
            fake_features = self.discriminator.features(rebuilt)
            logits = self.discriminator.classify(fake_features)
            aligned = squared_error_per_image(real_features.float(), fake_features.float()).mean()
            return {
                "rec": config.lambda_rec * squared_error_per_image(batch, rebuilt.float()).mean(),
                "adv": config.lambda_adv * real_loss(logits.float()),
                "ali": config.lambda_ali * aligned,
            }

        def discriminator_loss(batch: Tensor) -> dict[str, Tensor]:
            real, fake = self.discriminator(batch), self.discriminator(latest["fake"])
            return {"real": real_loss(real.float()) / 2, "fake": fake_loss(fake.float()) / 2}

        optimiser = partial(adam, config, betas=config.betas)
        players = [
            Player("generator", list(self.generator.parameters()), optimiser, generator_loss),
            Player("discriminator", list(self.discriminator.parameters()), optimiser, discriminator_loss),
        ]
        return [Stage("adversarial", players, config.training_steps(images), config.batch_size, end=self.finalise)]

    def finalise(self, batches: Batches) -> None:
        super().finalise(batches)

        def real_and_fake() -> Iterator[Tensor]:  # the discriminator's inputs at inference
            return chain.from_iterable((batch, self.generator(batch)) for batch in batches())

        reestimate_batch_norms(self.discriminator, self.discriminator, real_and_fake)
        if self.config.balance:
            self._balance(batches)

    @torch.no_grad()
    def _balance(self, batches: Batches) -> None:
        """Deviations of R and L: their scales differ, and that of L depends on the trained discriminator."""
        terms = torch.cat([self.terms(batch, Reconstructor.forward(self, batch)) for batch in batches()], dim=1)
        self.spread.copy_(terms.std(dim=1, correction=0).clamp_min(SMALLEST_DEVIATION))
