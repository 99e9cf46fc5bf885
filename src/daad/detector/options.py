"""Everything that decides a fit, but the images; typed, and refused early where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from pydantic import Field

from daad.data.tiles import Tiling
from daad.errors import ConfigError
from daad.models.base import ModelConfig, preset
from daad.models.build import preset_settings
from daad.models.registry import model_class
from daad.settings import Settings
from daad.training.loop import Precision

SHAPE = ("height", "width", "channels")


class Progress(Protocol):
    """Called as work goes on: the phase ("read", "train" or "calibrate"), what is done, and of how much."""

    def __call__(self, phase: str, done: int, total: int, /) -> None: ...


class FitPlan(Settings):
    """Everything that decides a fit, but the images. Defaults are those of `daad fit`."""

    model: str = "daad"
    preset: str = "small"
    image_size: int | tuple[int, int] | None = None
    seed: int = Field(0, ge=0, lt=2**63)
    false_alarm_rate: float = Field(0.05, gt=0, lt=1)
    holdout: float = Field(0.2, gt=0, lt=1)
    tile: int | tuple[int, int] | None = None
    overlap: float = Field(0.25, ge=0, le=0.9)
    precision: Precision = "auto"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    settings: dict[str, Any] = Field(default_factory=dict)

    def size(self) -> int | tuple[int, int]:
        """The short side, or (height, width), that images are brought to."""
        return preset(model_class(self.model), self.preset).image_size if self.image_size is None else self.image_size

    def tiling(self) -> Tiling | None:
        """The tiles that images are cut into, if they are."""
        return None if self.tile is None else Tiling.of(self.tile, self.overlap)

    def chosen_settings(self) -> dict[str, Any]:
        """The preset's settings with the user's over them."""
        return preset_settings(self.model, self.preset, self.settings)

    def all_settings(self) -> dict[str, Any]:
        """Every setting of the model but the image's shape: the config's defaults, the preset's, the user's."""
        fields = model_class(self.model).Config.model_fields
        defaults = {name: field.default for name, field in fields.items() if not field.is_required()}
        return {**defaults, **self.chosen_settings()}

    def size_multiple(self) -> int:
        """What the long side of images is rounded to a multiple of."""
        return model_class(self.model).size_multiple(self.chosen_settings())

    def config(self, height: int, width: int, channels: int) -> ModelConfig:
        """The model's config for images of this shape."""
        settings = self.chosen_settings()
        return model_class(self.model).Config.make(**settings, height=height, width=width, channels=channels)

    def check(self) -> None:
        """Refuse what can be refused before any image is read."""
        preset(model_class(self.model), self.preset)
        self.tiling()
        model_class(self.model).Config.check_known(self.settings)
        for name in SHAPE:
            if name in self.settings:
                raise ConfigError(f"{name} follows from the images; set image_size, or convert the images")
        check_accelerator(self.accelerator)


def check_accelerator(name: str) -> None:
    """Refuse an accelerator that this machine has not."""
    missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if missing.get(name, False):
        raise ConfigError(f"accelerator {name!r} is not there on this machine; use auto or cpu")


class RunOptions(Settings):
    """Where a run keeps its cache, checkpoints and log, and whether it goes on from there; `strict`: an image that
    cannot be read is an ImageError, and not left out."""

    folder: Path | None = None
    resume: bool = False
    checkpoint_every: int = Field(200, ge=1)
    cache: bool = True
    strict: bool = False


def silent(phase: str, done: int, total: int, /) -> None:
    """No progress asked for."""
