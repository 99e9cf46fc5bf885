"""A module of the user's own as features: any that gives a list of maps. A frozen copy of it is used.

Its weights are stored in a detector, its code is not. So `Detector.load` needs the module again.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from daad.errors import ConfigError
from daad.features.base import FrozenFeatures, freeze, state_sha256
from daad.stages import ModelConfig

NO_NETWORK = (
    "features 'module' are a network of your own: give it to Detector.fit(..., features=NETWORK) and again to "
    "Detector.load(..., features=NETWORK)"
)


class ModuleFeatures(FrozenFeatures):
    """The maps of a network (B, C, H, W) -> list of (B, D, h, w), frozen, in evaluation mode."""

    def __init__(self, config: ModelConfig, network: nn.Module | None = None) -> None:
        super().__init__(config)
        if network is None:
            raise ConfigError(NO_NETWORK)
        self.network = freeze(copy.deepcopy(network))
        self._name = type(network).__name__

    def forward(self, images: Tensor) -> list[Tensor]:
        maps: Any = self.network(images)
        return list(maps) if isinstance(maps, tuple) else maps

    @property
    def source(self) -> str:
        return f"a module of the user's own, {self._name}"

    @property
    def sha256(self) -> str:
        return state_sha256(self.network)

    def shapes(self) -> Any:
        with torch.no_grad():
            return super().shapes()
