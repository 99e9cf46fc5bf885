"""How a network is trained, as data: a config, and stages that the training loop runs.

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
    """Settings of every network: the shape of its input and its size. Frozen; unknown keys are refused."""

    height: int = Field(ge=16, le=4096, description="input height in pixels")
    width: int = Field(ge=16, le=4096, description="input width in pixels")
    channels: int = Field(ge=1, le=64, description="input channels")
    size: Size = Field("small", description="the dial that derives the widths: nano, small or paper")


class TrainedConfig(ModelConfig):
    """Settings of every network that is trained by gradient steps."""

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
        """Number of training steps on `images` images."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, self.epochs * images // min(self.batch_size, images))


@dataclass(frozen=True)
class Player:
    """A player of a stage, such as a generator or a discriminator: its parameters, their optimiser, and its loss.

    `loss(batch)` takes images (B, C, H, W) in [0, 1], or images with their boxes. It gives weighted terms by name, and
    their sum is minimised. Only the player's own parameters get gradients. The optimiser's learning rate is the highest
    of the schedule.
    """

    name: str
    parameters: list[nn.Parameter]
    optimiser: Callable[[list[nn.Parameter]], Optimizer]
    loss: Callable[[Any], dict[str, Tensor]]


@dataclass(frozen=True)
class Stage:
    """A phase of training: players stepped in turn on the same batch, `steps` times, with optional hooks.

    `begin` and `end` get a function that gives all training images once, in order, in batches. `after_step` gets the
    batch of the step. `begin` is called again every `begin_every` steps, where that is given. A stage that is fitted in
    closed form, or that loads weights, has no players and no steps.
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
    """A network that the training loop can train."""

    @abstractmethod
    def stages(self, images: int) -> list[Stage]:
        """How to train on `images` images. Sets no attributes: state that stages share is in them or in buffers."""
