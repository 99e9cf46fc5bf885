"""The reconstruction family and the DAAD paper's own baselines: AE, AE+Skip, MemAE.

Source: DAAD (Hou et al., ICCV 2021), comparison table; MemAE (Gong et al., ICCV 2019) for its memory and loss.

    images x -> Generator -> x_hat;  R(x) = mean (x - x_hat)^2;  score A(x) = R(x)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from daad.errors import ConfigError
from daad.models.base import AnomalyModel, Output
from daad.nn.block_memory import BlockMemory, addressing_entropy
from daad.nn.convs import reestimate_batch_norms
from daad.nn.corruption import corrupt
from daad.nn.error_maps import GaussianBlur, RunningMoments, squared_error_map
from daad.nn.generator import LEVELS, MULTIPLE, Generator, OutputActivation
from daad.nn.losses import squared_error_per_image
from daad.presets import Preset
from daad.stages import Batches, ModelConfig, Player, Size, Stage, TrainedConfig

WIDTHS: dict[Size, tuple[int, ...]] = {
    "nano": (8, 8, 16, 32, 64),
    "small": (16, 16, 32, 64, 128),
    "paper": (32, 64, 128, 256, 512),
}
ITEMS: dict[Size, int] = {"nano": 50, "small": 100, "paper": 500}
SMALL: Mapping[str, Any] = {
    "size": "small",
    "steps": 1000,
    "reduction": "max",
    "standardise": True,
    "detail_sigma": 4.0,
}
DEVIATION_FLOOR = 0.1  # share of the mean deviation added at every pixel, so that constant pixels do not dominate
SMALLEST_DEVIATION = 1e-8


class ReconstructionConfig(TrainedConfig):
    """Settings that every model of the family shares. Where the paper gives no value, the default is our choice."""

    widths: tuple[int, ...] | None = Field(None, description="channels of F0..F4; None: from size")
    output_activation: OutputActivation = Field("sigmoid", description="of the image; the figure says conv_bn_relu")
    lambda_rec: float = Field(50.0, ge=0, description="weight of L_rec")
    reduction: Literal["mean", "max"] = Field(
        "mean", description="image score from the error map: mean of it (the paper), or maximum of it smoothed"
    )
    map_sigma: float = Field(1.0, ge=0, le=64, description="Gaussian smoothing of the anomaly map, in model pixels")
    standardise: bool = Field(
        False, description="standardise the map at every pixel by mean and deviation over the training images"
    )
    detail_sigma: float = Field(
        0.0,
        ge=0,
        le=64,
        description="also score the error less its Gaussian mean of this sigma in model pixels, its lighting; 0: off",
    )
    corruption: float = Field(
        0.0, ge=0, le=1, description="share of training images with a synthetic defect, to be reconstructed without it"
    )

    @model_validator(mode="after")
    def _legal_shape(self) -> Self:
        for name, length in (("height", self.height), ("width", self.width)):
            if length % MULTIPLE:
                raise ConfigError(f"{name} {length} must be a multiple of {MULTIPLE}; nearest: {_nearest(length)}")
        if self.detail_sigma and not self.standardise:
            raise ConfigError(
                "detail_sigma needs standardise: two error maps are compared in units of their deviations"
            )
        if self.widths is not None and (len(self.widths) != LEVELS + 1 or min(self.widths) < 1):
            raise ConfigError(f"widths needs {LEVELS + 1} positive numbers, F0 to F4; found {self.widths}")
        return self

    @property
    def level_widths(self) -> tuple[int, ...]:
        """Channels of F0 to F4."""
        return self.widths or WIDTHS[self.size]

    def level_shape(self, level: int) -> tuple[int, int, int]:
        """(channels, height, width) of F_level."""
        return self.level_widths[level], self.height >> level, self.width >> level


class Reconstructor(AnomalyModel):
    """Base of the family: a generator, the reconstruction loss, and the score from the error map."""

    config: ReconstructionConfig
    usual_error: Tensor
    usual_spread: Tensor

    def __init__(self, config: ReconstructionConfig, bridges: Sequence[nn.Module | None]) -> None:
        super().__init__(config)
        self.generator = Generator(config.channels, config.level_widths, bridges, config.output_activation)
        self.blur = GaussianBlur(config.map_sigma, config.height, config.width)
        self.slow = GaussianBlur(config.detail_sigma, config.height, config.width)
        if config.standardise:
            shape = (1, 2 if config.detail_sigma else 1, config.height, config.width)
            # mean and deviation of the error maps at every pixel, over the training images
            self.register_buffer("usual_error", torch.zeros(shape))
            self.register_buffer("usual_spread", torch.ones(shape))

    def reconstruct(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The reconstruction, and the model's weighted loss terms besides L_rec."""
        return self.generator(images), {}

    def forward(self, images: Tensor) -> Output:
        rebuilt = self.generator(images)
        maps = self.error_maps(images, rebuilt)
        if self.config.standardise:
            maps = (maps - self.usual_error) / self.usual_spread
        anomaly_map = maps.amax(dim=1)
        mean_error = squared_error_map(images, rebuilt).mean(dim=(1, 2, 3))  # R(x)
        score = anomaly_map.amax(dim=(1, 2)) if self.config.reduction == "max" else mean_error
        return Output(score, anomaly_map, rebuilt)

    def error_maps(self, images: Tensor, rebuilt: Tensor) -> Tensor:
        """The smoothed squared error (B, 1, H, W); with `detail_sigma` a second channel, that of the high-pass error.

        A good image under other lighting has a small error everywhere; a defect has its error at one position.
        """
        maps = [squared_error_map(images, rebuilt)]
        if self.config.detail_sigma:
            error = images - rebuilt
            maps.append(squared_error_map(error, self.slow(error)))
        smoothed: Tensor = self.blur(torch.cat(maps, dim=1))
        return smoothed

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        """L_rec, and the terms of `reconstruct`."""
        rebuilt, terms = self.reconstruct(corrupt(images, self.config.corruption))
        return {"rec": self.config.lambda_rec * squared_error_per_image(images, rebuilt.float()).mean(), **terms}

    def stages(self, images: int) -> list[Stage]:
        config = self.config
        check_batch_statistics(config, images)
        player = Player("generator", list(self.generator.parameters()), partial(adam, config), self.loss)
        steps = config.training_steps(images)
        return [Stage("reconstruct", [player], steps, config.batch_size, end=self.finalise)]

    def finalise(self, batches: Batches) -> None:
        """Re-estimate batch statistics over all training images, then the moments of the error maps.

        The running statistics lag behind the weights.
        """
        reestimate_batch_norms(self.generator, self.generator, batches)
        if self.config.standardise:
            self._standardise(batches)

    @torch.no_grad()
    def _standardise(self, batches: Batches) -> None:
        """Mean and deviation of the error maps: raw errors are large at edges and bright pixels of good images too."""
        moments = RunningMoments()
        for images in batches():
            moments.update(self.error_maps(images, self.generator(images)))
        deviation = moments.std()
        self.usual_error.copy_(moments.mean)
        mean_deviation = deviation.mean(dim=(1, 2), keepdim=True).clamp_min(SMALLEST_DEVIATION)  # of every channel
        self.usual_spread.copy_(deviation + DEVIATION_FLOOR * mean_deviation)


def check_batch_statistics(config: TrainedConfig, images: int) -> None:
    """Batch norm needs two values a channel at the bottleneck; a 16-pixel image gives it one."""
    if min(config.batch_size, images) * (config.height // MULTIPLE) * (config.width // MULTIPLE) < 2:
        raise ConfigError(
            f"{config.height} x {config.width} pixels in batches of one image leave batch norm a single value; "
            "raise image_size, or batch_size and the number of images"
        )


def adam(config: TrainedConfig, parameters: list[nn.Parameter], betas: tuple[float, float] = (0.9, 0.999)) -> Optimizer:
    """Adam without weight decay: the dense read of a memory needs item norms that grow, and decay would shrink them."""
    return torch.optim.Adam(parameters, lr=config.learning_rate, betas=betas, fused=True)


class AE(Reconstructor):
    """The generator without skips and memories: the decoder gets the raw bottleneck alone."""

    Config: ClassVar[type[ModelConfig]] = ReconstructionConfig
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(256, {"size": "paper", "epochs": 300, "map_sigma": 4.0}),
        "small": Preset(64, SMALL),
    }

    def __init__(self, config: ReconstructionConfig) -> None:
        super().__init__(config, [None, None, None, nn.Identity()])


class AESkip(AE):
    """AE with raw skips at 1/2, 1/4 and 1/8: a U-Net without memory."""

    def __init__(self, config: ReconstructionConfig) -> None:
        Reconstructor.__init__(self, config, [nn.Identity() for _ in range(LEVELS)])


class MemoryConfig(ReconstructionConfig):
    """Settings of models with a memory."""

    memory_items: int | None = Field(None, ge=1, le=100_000, description="N, items a memory; None: from size")
    temperature: float | None = Field(None, gt=0, description="divides the cosines; None: off (the paper)")
    shrinkage: float | None = Field(None, gt=0, description="hard-shrinkage threshold in units of 1/N; None: off")

    @property
    def items(self) -> int:
        """N, the items of every memory."""
        return self.memory_items or ITEMS[self.size]

    def memory(self, level: int, division_rate: tuple[int, int, int]) -> BlockMemory:
        """The memory of F_level."""
        return BlockMemory(
            *self.level_shape(level),
            division_rate,
            self.items,
            temperature=self.temperature,
            shrinkage=self.shrinkage,
            where=f"memory at 1/{2**level}",
        )


class MemAEConfig(MemoryConfig):
    """Settings of MemAE."""

    shrinkage: float | None = Field(1.0, gt=0, description="hard-shrinkage threshold lambda in units of 1/N (1 to 3)")
    entropy_weight: float = Field(2e-4, ge=0, description="alpha, weight of the addressing entropy beside the MSE")


class MemAE(Reconstructor):
    """AE with one pixel-wise memory on the bottleneck (r_h = H, r_w = W, r_c = 1)."""

    Config: ClassVar[type[ModelConfig]] = MemAEConfig
    presets = AE.presets
    config: MemAEConfig

    def __init__(self, config: MemAEConfig) -> None:
        _, height, width = config.level_shape(LEVELS)
        super().__init__(config, [None, None, None, config.memory(LEVELS, (height, width, 1))])

    def reconstruct(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        features = self.generator.encode(images)
        memory: Any = self.generator.bridges[-1]
        rebuilt, weights = memory.read(features[-1])
        # The paper adds alpha * entropy to a plain MSE; lambda_rec scales both, so that their balance is the paper's.
        weight = self.config.lambda_rec * self.config.entropy_weight
        return self.generator.decode([None, None, None, rebuilt]), {"entropy": weight * addressing_entropy(weights)}


def _nearest(length: int) -> int:
    return MULTIPLE * max(1, (length + MULTIPLE // 2) // MULTIPLE)
