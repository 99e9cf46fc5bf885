"""Base of the models on feature maps: any features, by name or as a module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from daad.features.base import Features
from daad.features.registry import build_features, features_class
from daad.models.base import AnomalyModel
from daad.stages import ModelConfig

SHAPE = ("height", "width", "channels")


class FeatureModelConfig(ModelConfig):
    """Features with all their settings, so that a saved detector does not depend on later defaults."""

    features: str = Field("ccd", description="features that the model is fitted on: `daad models features` lists them")
    feature_settings: dict[str, Any] = Field(
        default_factory=dict, description="settings of the features (on the command line --set features.NAME=VALUE)"
    )

    @model_validator(mode="before")
    @classmethod
    def _all_feature_settings(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        name, settings = given.get("features", "ccd"), given.get("feature_settings", {})
        if not isinstance(name, str) or not isinstance(settings, Mapping):
            return given  # pydantic reports the error
        config = features_class(name).Config.make(
            **{"size": given.get("size", "small"), **settings}, **{side: given[side] for side in SHAPE if side in given}
        )
        return {**given, "feature_settings": config.model_dump(exclude=set(SHAPE))}


class FeatureModel(AnomalyModel):
    """A model on `features`, which are frozen while the model itself is trained.

    `network` is the user's own, for features `module`.
    """

    config: FeatureModelConfig

    def __init__(self, config: FeatureModelConfig, network: nn.Module | None = None) -> None:
        super().__init__(config)
        shape = {side: getattr(config, side) for side in SHAPE}
        self.features: Features = build_features(config.features, {**config.feature_settings, **shape}, network)
        self.shapes = self.features.shapes()

    @torch.no_grad()
    def frozen_maps(self, images: Tensor) -> list[Tensor]:
        """The feature maps in evaluation mode, as at inference, whatever the mode of the model."""
        self.features.eval()
        return [maps.float() for maps in self.features(images)]
