"""From a config to a model, with limits before allocation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from daad.errors import ArtifactError, ConfigError
from daad.models.base import GIVEN, AnomalyModel, preset
from daad.models.registry import MODELS, model_class

Module = TypeVar("Module", bound=nn.Module)


def build(name: str, settings: Mapping[str, Any], network: nn.Module | None = None) -> AnomalyModel:
    """A model with fresh weights, on a network of the user's own where one is given; ConfigError for an unknown name or
    setting."""
    cls = model_class(name)
    config = cls.Config.make(**settings)
    if network is None:
        return cls(config)
    if not cls.takes_network or config.backbone != GIVEN:  # type: ignore[attr-defined]
        raise ConfigError(f"this {name} detector has a network of its own; load it without network=")
    return cls(config, network)  # type: ignore[call-arg]


def settings_for_network(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A user's settings, and that the network is given; ConfigError for a model that has no use for one."""
    if not model_class(name).takes_network:
        takers = ", ".join(other for other in MODELS if model_class(other).takes_network)
        raise ConfigError(f"model {name!r} has a network of its own; those that take another: {takers}")
    return {**settings, "backbone": GIVEN}


def preset_settings(name: str, preset_name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's settings with the user's own over them; giving steps drops the preset's epochs and the reverse."""
    merged = {**preset(model_class(name), preset_name).settings, **settings}
    for mine, other in (("steps", "epochs"), ("epochs", "steps")):
        if settings.get(mine) is not None and other not in settings:
            merged.pop(other, None)
    return merged


def rebuild(make: Callable[[], Module], weights: Mapping[str, Tensor], where: str) -> Module:
    """The model of an artifact, made from its config by `make`. The shapes are held against the weights before any
    memory is taken."""
    try:
        with torch.device("meta"):
            expected = {key: tuple(value.shape) for key, value in make().state_dict().items()}
    except (ConfigError, RuntimeError, ArithmeticError, TypeError, ValueError, MemoryError) as error:
        reason = str(error).partition("\n")[0]  # torch's own complaint, of sizes beyond any memory, has a trace below
        raise ArtifactError(f"{where}: the model cannot be rebuilt: {reason}") from None
    found = {key: tuple(value.shape) for key, value in weights.items()}
    if expected != found:
        odd = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        raise ArtifactError(f"{where}: the weights do not fit the model's config at {odd[0]!r} and {len(odd) - 1} more")
    model = make()
    model.load_state_dict(dict(weights))
    return model.eval().requires_grad_(False)
