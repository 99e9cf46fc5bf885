"""From a config to a model, with limits before allocation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from daad.errors import ArtifactError, ConfigError
from daad.models.base import AnomalyModel, preset
from daad.models.registry import model_class


def build(name: str, settings: Mapping[str, Any]) -> AnomalyModel:
    """A model with fresh weights; ConfigError for an unknown name or setting."""
    cls = model_class(name)
    return cls(cls.Config.make(**settings))


def preset_settings(name: str, preset_name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's settings with the user's own over them; giving steps drops the preset's epochs and the reverse."""
    merged = {**preset(model_class(name), preset_name).settings, **settings}
    for mine, other in (("steps", "epochs"), ("epochs", "steps")):
        if settings.get(mine) is not None and other not in settings:
            merged.pop(other, None)
    return merged


def rebuild(name: str, config: Mapping[str, Any], weights: Mapping[str, Tensor], where: str) -> AnomalyModel:
    """The model of an artifact. The config's shapes are held against the weights before any memory is taken."""
    try:
        with torch.device("meta"):
            expected = {key: tuple(value.shape) for key, value in build(name, config).state_dict().items()}
    except (ConfigError, RuntimeError, ArithmeticError, TypeError, ValueError, MemoryError) as error:
        reason = str(error).partition("\n")[0]  # torch's own complaint, of sizes beyond any memory, has a trace below
        raise ArtifactError(f"{where}: the model cannot be rebuilt: {reason}") from None
    found = {key: tuple(value.shape) for key, value in weights.items()}
    if expected != found:
        odd = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        raise ArtifactError(f"{where}: the weights do not fit the model's config at {odd[0]!r} and {len(odd) - 1} more")
    model = build(name, config)
    model.load_state_dict(dict(weights))
    return model.eval().requires_grad_(False)
