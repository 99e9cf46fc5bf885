"""How something learns, as data: a config, and stages that the one training loop runs.

Trainable.stages(images) -> [Stage(players stepped in turn, hooks, steps)] -> training/loop.py
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from daad.errors import ConfigError
from daad.settings import Settings

Size = Literal["nano", "small", "paper"]
Batches = Callable[[], Iterator[Tensor]]


class ModelConfig(Settings):
    """What every network is told: the shape of its input and the dial of its size. Frozen; unknown keys are refused."""

    height: int = Field(ge=16, le=4096, description="input height in pixels")
    width: int = Field(ge=16, le=4096, description="input width in pixels")
    channels: int = Field(ge=1, le=64, description="input channels")
    size: Size = Field("small", description="the dial that derives the widths: nano, small or paper")


class TrainedConfig(ModelConfig):
    """What is trained by gradient steps is told their number and rate too."""

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
    form, or takes weights from elsewhere, has no players and no steps.
    """

    name: str
    players: list[Player] = field(default_factory=list)
    steps: int = 0
    batch_size: int = 1
    begin: Callable[[Batches], None] | None = None
    begin_every: int | None = None
    after_step: Callable[[Any], None] | None = None
    end: Callable[[Batches], None] | None = None


class Trainable(nn.Module, ABC):
    """What the training loop can train."""

    @abstractmethod
    def stages(self, images: int) -> list[Stage]:
        """How to train on `images` images. It changes nothing: what stages share lives in them or in buffers."""
