"""Every option of learning, declared once: the Python signature, the command line, --config and the reference follow.

Plans are refused early where they cannot be; what a plan decides is the same wherever it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from daad.data.tiles import Tiling
from daad.errors import ConfigError
from daad.features.registry import features_class, kind_of_features
from daad.models.registry import MODELS, ON_FEATURES, model_class
from daad.presets import Preset, over_preset, preset_of
from daad.settings import Settings

if TYPE_CHECKING:
    from daad.stages import ModelConfig

SHAPE = ("height", "width", "channels")
LENGTHS = ("steps", "epochs")
Precision = Literal["auto", "32-true", "bf16-mixed"]
FIRST, LAST = ("model", "preset", "image_size", "seed"), ("precision", "accelerator", "settings")  # as they are shown


class LearningPlan(Settings):
    """What decides any learning, but the images."""

    preset: str = Field("small", description="a preset of the model: small (CPU, minutes) or paper (GPU)")
    image_size: int | tuple[int, int] | None = Field(
        None,
        description="short side of the image that the model sees, or height and width, multiples of 16; by default the "
        "preset's, or what the features ask for",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="everything random follows from it")
    precision: Precision = Field(
        "auto", description="of training; judging is always in float32. auto: bf16-mixed where the CPU has it"
    )
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="what to train on")
    settings: dict[str, Any] = Field(default_factory=dict, description="settings of the model, by name")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The options in the order in which they are shown."""
        between = [name for name in cls.model_fields if name not in (*FIRST, *LAST)]
        return tuple(name for name in (*FIRST, *between, *LAST) if name in cls.model_fields)


class ModelPlan(LearningPlan):
    """What decides how a detector of anomalies learns, but the images."""

    model: str = Field("daad", description="one of those that `daad models` lists")

    def preset_of_model(self) -> Preset:
        """The model's own preset."""
        return preset_of(model_class(self.model).presets, self.preset)

    @property
    def network(self) -> Any:
        """The module that was given as features, if one was."""
        chosen = self.settings.get("features")
        return None if chosen is None or isinstance(chosen, str) else chosen

    def size(self) -> int | tuple[int, int]:
        """The short side, or (height, width), that images are brought to: as given, as the features ask for, or the
        preset's."""
        if self.image_size is not None:
            return self.image_size
        own = self.preset_of_model().image_size
        if self.model in ON_FEATURES:
            kind = kind_of_features(self.settings.get("features", "ccd"))
            own = preset_of(features_class(kind).presets, self._preset_of_features(kind)).image_size or own
        assert own is not None
        return own

    def tiling(self) -> Tiling | None:
        """The tiles that images are cut into, if they are."""
        return None

    def chosen_settings(self) -> dict[str, Any]:
        """The preset's settings with the user's over them, those of the features among them under
        `feature_settings`; what depends on the images is not among them."""
        given = {**self.default_settings(), **self.settings}
        if self.model not in ON_FEATURES:
            return over_preset(self.preset_of_model().settings, given)
        chosen = given.get("features", "ccd")
        kind = kind_of_features(chosen)
        own = dict(given.get("feature_settings", {}))
        if "steps" not in model_class(self.model).Config.model_fields:  # the features' length is all there is
            length = {name: given.pop(name) for name in LENGTHS if name in given}
            if length and "steps" not in features_class(kind).Config.model_fields:
                raise ConfigError(
                    f"{next(iter(length))}: neither {self.model} nor features {kind!r} learn by steps; leave it out"
                )
            own = {**length, **own}
        preset = preset_of(features_class(kind).presets, self._preset_of_features(kind))
        chosen_own = over_preset(preset.settings, own)
        return {**over_preset(self.preset_of_model().settings, given), "features": kind, "feature_settings": chosen_own}

    def default_settings(self) -> Mapping[str, Any]:
        """What differs from the preset in this kind of learning."""
        return {}

    def all_settings(self, channels: int = 1) -> dict[str, Any]:
        """Every setting of the model but the image's shape: the config's defaults, the preset's, the user's."""
        size = self.size()
        height, width = size if isinstance(size, tuple) else (size, size)
        settings = self.config(height, width, channels).model_dump(mode="json", exclude=set(SHAPE))
        if isinstance(chosen := self.settings.get("features"), str):
            settings["features"] = chosen  # a path or a package's name, as it was given
        return settings

    def size_multiple(self) -> int:
        """What the long side of images is rounded to a multiple of."""
        return model_class(self.model).size_multiple(self.chosen_settings())

    def config(self, height: int, width: int, channels: int) -> ModelConfig:
        """The model's config for images of this shape."""
        settings = self.chosen_settings()
        if self.model in ON_FEATURES:
            chosen, own = self.settings.get("features", "ccd"), settings["feature_settings"]
            settings["feature_settings"] = features_class(settings["features"]).resolved(chosen, own, channels)
        return model_class(self.model).Config.make(**settings, height=height, width=width, channels=channels)

    def check(self) -> None:
        """Refuse what can be refused before any image is read."""
        self.preset_of_model()
        self.tiling()
        if "features" in self.settings and self.model not in ON_FEATURES:
            raise ConfigError(
                f"model {self.model!r} has a network of its own; those that take features: {', '.join(ON_FEATURES)}"
            )
        for name in SHAPE:
            if name in self.settings:
                raise ConfigError(f"{name} follows from the images; set image_size, or convert the images")
        model_class(self.model).Config.check_known(self.chosen_settings())
        check_accelerator(self.accelerator)

    def _preset_of_features(self, kind: str) -> str:
        return self.preset if self.preset in features_class(kind).presets else "small"


class FitPlan(ModelPlan):
    """What decides a fit, but the images."""

    false_alarm_rate: float = Field(
        0.05, gt=0, lt=1, description="share of good images that may be flagged; sets the threshold"
    )
    holdout: float = Field(
        0.2, gt=0, lt=1, description="share of the good images kept from training to set the threshold and p-values"
    )
    tile: int | tuple[int, int] | None = Field(
        None,
        description="learn tiles of this side (or height and width), in pixels of your images, instead of complete "
        "images shrunk to image_size: for large images with small defects. New images are then judged by their tiles; "
        "with fewer than five images, or too large ones, the threshold is one of tiles",
    )
    overlap: float = Field(
        0.25, ge=0, le=0.9, description="share of its side that a tile shares with the next when images are judged"
    )

    def tiling(self) -> Tiling | None:
        return None if self.tile is None else Tiling.of(self.tile, self.overlap)


class RunOptions(Settings):
    """Where a run keeps its cache, checkpoints and log, and whether it goes on from there. `strict`: an image that
    cannot be read is an ImageError, and not left out."""

    run: Path | None = Field(None, description="a folder for the image cache, the checkpoints and the log")
    resume: bool = Field(False, description="go on from the last checkpoint of a stopped run with the same settings")
    checkpoint_every: int = Field(200, ge=1, description="steps between checkpoints")
    cache: bool = Field(True, description="keep decoded images on disk, in the run's folder, and not in memory")
    strict: bool = False

    @field_validator("run", mode="before")
    @classmethod
    def _as_path(cls, run: Any) -> Any:
        return Path(run) if isinstance(run, str) else run

    @property
    def cache_folder(self) -> Path | None:
        """Where decoded images are kept."""
        return self.run / "cache" if self.run and self.cache else None


def check_accelerator(name: str) -> None:
    """Refuse an accelerator that this machine has not."""
    import torch

    missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if missing.get(name, False):
        raise ConfigError(f"accelerator {name!r} is not there on this machine; use auto or cpu")


def audit_settings(model: str) -> Mapping[str, Any]:
    """What a model does otherwise where its training images may be odd."""
    model_class(model)
    return MODELS[model].audit
