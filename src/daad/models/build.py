"""From a config to a model, with checks before any memory is allocated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from daad.errors import ArtifactError, ConfigError
from daad.models.base import AnomalyModel
from daad.models.feature_model import FeatureModel
from daad.models.registry import model_class

Module = TypeVar("Module", bound=nn.Module)


def build(name: str, settings: Mapping[str, Any], network: nn.Module | None = None) -> AnomalyModel:
    """A model with new weights; `network` is the user's own, for features `module`.

    Raises:
        ConfigError: for an unknown name or setting.
    """
    cls = model_class(name)
    config = cls.Config.make(**settings)
    if issubclass(cls, FeatureModel):
        return cls(config, network)  # type: ignore[arg-type]
    if network is not None:
        raise ConfigError(f"this {name} detector has a network of its own; load it without features=")
    return cls(config)


def rebuild(make: Callable[[], Module], weights: Mapping[str, npt.NDArray[Any]], where: str) -> Module:
    """The model of an artifact: built by `make`, loaded with `weights`.

    Shapes are compared with the weights before any memory is allocated. `where` names the artifact in error messages.

    Raises:
        ArtifactError: where the model cannot be built, or the weights do not fit it.
    """
    try:
        with torch.device("meta"):
            expected = {key: tuple(value.shape) for key, value in make().state_dict().items()}
    except (ConfigError, RuntimeError, ArithmeticError, TypeError, ValueError, MemoryError) as error:
        reason = str(error).partition("\n")[0]  # without the trace that torch appends for sizes beyond any memory
        raise ArtifactError(f"{where}: the model cannot be rebuilt: {reason}") from None
    shapes = {key: array.shape for key, array in weights.items()}
    if expected != shapes:
        wrong = sorted(key for key in expected.keys() | shapes.keys() if expected.get(key) != shapes.get(key))
        raise ArtifactError(
            f"{where}: the weights do not fit the model's config at {wrong[0]!r} and {len(wrong) - 1} more"
        )
    model = make()
    model.load_state_dict({key: torch.from_numpy(np.array(array)) for key, array in weights.items()})
    return model.eval().requires_grad_(False)
