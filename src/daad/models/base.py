"""The contract between a model and the house: a typed config, an exportable forward, and how it is trained.

images -> AnomalyModel.forward -> Output(score, anomaly_map, reconstruction)
AnomalyModel.stages() -> [Stage(players stepped in turn, hooks, steps)] -> the one training loop
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from daad.errors import ConfigError, closest
from daad.settings import Settings

Size = Literal["nano", "small", "paper"]
GIVEN = "given"  # what a config says of a network that the user brings
Batches = Callable[[], Iterator[Tensor]]


class Output(NamedTuple):
    """What a model says of a batch: score (B,), anomaly_map (B, H, W), reconstruction (B, C, H, W) or None, and what
    else a reader wants to see beside the image, by name, (B, C, H, W) each in [0, 1]."""

    score: Tensor
    anomaly_map: Tensor
    reconstruction: Tensor | None
    pictures: Mapping[str, Tensor] = MappingProxyType({})


class ModelConfig(Settings):
    """What every model is told: the shape of its input and how long to train. Frozen; unknown keys are refused."""

    height: int = Field(ge=16, le=4096, description="input height in pixels")
    width: int = Field(ge=16, le=4096, description="input width in pixels")
    channels: int = Field(ge=1, le=64, description="input channels")
    size: Size = Field("small", description="the dial that derives the widths: nano, small or paper")
    batch_size: int = Field(16, ge=1, le=4096, description="images a training step")
    steps: int | None = Field(None, ge=1, description="training steps; give this or epochs")
    epochs: int | None = Field(None, ge=1, description="passes over the training images; give this or steps")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Adam's learning rate at its highest")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ConfigError(f"give either steps or epochs, found steps={self.steps} and epochs={self.epochs}")
        return self

    def training_steps(self, images: int) -> int:
        """Steps of the whole training on `images` images."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, self.epochs * images // min(self.batch_size, images))


@dataclass(frozen=True)
class Player:
    """One party of a stage: its parameters, their optimiser, and its loss.

    `loss(batch)`, of images (B, C, H, W) in [0, 1] or of images with their boxes, gives named terms, already weighted,
    whose sum is minimised; only the player's own parameters receive gradients. The optimiser's learning rate is the
    highest that the loop's schedule reaches.
    """

    name: str
    parameters: list[nn.Parameter]
    optimiser: Callable[[list[nn.Parameter]], Optimizer]
    loss: Callable[[Any], dict[str, Tensor]]


@dataclass(frozen=True)
class Stage:
    """A phase of training: players stepped in turn on the same batch, `steps` times, with optional hooks.

    `begin` and `end` get a function that gives all training images once, in order, in batches; `after_step` gets the
    batch of the step. With `begin_every`, `begin` comes again after every so many steps. A stage that learns in closed
    form has no players and no steps.
    """

    name: str
    players: list[Player]
    steps: int
    batch_size: int
    begin: Callable[[Batches], None] | None = None
    begin_every: int | None = None
    after_step: Callable[[Any], None] | None = None
    end: Callable[[Batches], None] | None = None


@dataclass(frozen=True)
class Preset:
    """A named starting point: the image size and the settings that differ from the config's defaults."""

    image_size: int
    settings: Mapping[str, Any] = field(default_factory=dict)


class Trainable(nn.Module, ABC):
    """What the training loop can train."""

    @abstractmethod
    def stages(self, images: int) -> list[Stage]:
        """How to train on `images` images."""


class AnomalyModel(Trainable):
    """A system that scores images; see the module's docstring for its two duties."""

    Config: ClassVar[type[ModelConfig]]
    presets: ClassVar[Mapping[str, Preset]]
    pool_settings: ClassVar[Mapping[str, Any]] = MappingProxyType({})  # defaults in an audit: images may be odd
    takes_network: ClassVar[bool] = False  # whether __init__ takes a module of the user's own after the config

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def size_multiple(cls, settings: Mapping[str, Any]) -> int:
        """What the sides of images, where they follow from the images' shape, are rounded to a multiple of."""
        return 16

    def borrowed(self) -> Mapping[str, Tensor]:
        """Weights from elsewhere on which the training will stand; ConfigError where they cannot be had or do not fit.
        A stopped training goes on only with the same ones."""
        return {}

    def unseen_scores(self, scores: Tensor) -> Tensor:
        """The scores (N,) of all training images, each as if it had not been learnt from, as far as the model can tell:
        what an audit ranks by."""
        return scores

    @abstractmethod
    def forward(self, images: Tensor) -> Output:
        """Score float images (B, C, H, W) in [0, 1]; no side effects, exportable."""


def preset(cls: type[AnomalyModel], name: str) -> Preset:
    """A model's preset by name; ConfigError with the known names otherwise."""
    return preset_of(cls.presets, name)


def preset_of(presets: Mapping[str, Preset], name: str) -> Preset:
    """A preset by name; ConfigError with the known names otherwise."""
    if name not in presets:
        raise ConfigError(f"unknown preset {name!r}{closest(name, presets)}; known: {', '.join(presets)}")
    return presets[name]
