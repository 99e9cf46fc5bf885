"""Features of a saved detector, frozen: learnt once, used again. Every file goes through the one hashed reader."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from daad.artifact.manifest import Manifest
from daad.artifact.place import MANIFEST, WEIGHTS
from daad.artifact.read import Arrays, read_artifact
from daad.errors import ArtifactError, ConfigError
from daad.features.base import Features, freeze
from daad.stages import Batches, ModelConfig, Stage

PREFIX = "features."


class SavedConfig(ModelConfig):
    """Where features were taken from, and how to build them without looking there again."""

    path: str = Field("", description="the detector they were taken from")
    sha256: str = Field("", description="of its weights file")
    of: str = Field("ccd", description="the features' own name")
    settings: dict[str, Any] = Field(default_factory=dict, description="and their settings")


class SavedFeatures(Features):
    """The same network with the same weights; `path` is read once, when a fit begins."""

    Config: ClassVar[type[ModelConfig]] = SavedConfig
    config: SavedConfig

    def __init__(self, config: SavedConfig) -> None:
        from daad.features.registry import features_class

        super().__init__(config)
        shape = {name: getattr(config, name) for name in ("height", "width", "channels")}
        cls = features_class(config.of)
        network = cls.for_judging(cls.Config.make(**config.settings, **shape))
        self.network: Features = freeze(network)  # type: ignore[assignment]

    @classmethod
    def resolved(cls, chosen: Any, settings: Mapping[str, Any], channels: int) -> dict[str, Any]:
        """Raises ConfigError for a detector without features of its own, or of other images; ArtifactError for one that
        is damaged or was changed."""
        manifest, _ = read_features(chosen)
        config = manifest.config
        of, own = config["features"], config["feature_settings"]
        if of == "saved":  # taken over from another: what counts is the network and the weights
            of, own = own["of"], own["settings"]
        if config["channels"] != channels:
            raise ConfigError(
                f"features {chosen!r} were learnt from images with {config['channels']} channels, and these have "
                f"{channels}; give images of that kind, or learn the features anew"
            )
        sha256 = manifest.files[WEIGHTS].sha256
        return {**settings, "path": chosen, "sha256": sha256, "of": of, "settings": own}

    def train(self, mode: bool = True) -> SavedFeatures:
        """Its batch statistics stay as they were."""
        super().train(False)
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.network(images)
        return maps

    @property
    def source(self) -> str:
        return f"the detector {self.config.path}: {self.network.source}"

    @property
    def sha256(self) -> str:
        return self.config.sha256

    def stages(self, images: int) -> list[Stage]:
        return [Stage("features", begin=self.take_over)]

    def take_over(self, batches: Batches) -> None:
        """Read the weights."""
        manifest, weights = read_features(self.config.path)
        if manifest.files[WEIGHTS].sha256 != self.config.sha256:
            raise ArtifactError(f"{self.config.path}: was changed since this fit began; fit again")
        needed = self.network.state_dict()
        self.network.load_state_dict({name: torch.from_numpy(weights[name].copy()) for name in needed})


def read_features(path: str) -> tuple[Manifest, Arrays]:
    """A detector's manifest, and the weights of its features by their names in the features' own network."""
    place = Path(path)
    if place.name == WEIGHTS and (place.parent / MANIFEST).is_file():
        place = place.parent
    manifest, weights, _ = read_artifact(place, Manifest)
    prefix = PREFIX + ("network." if manifest.config.get("features") == "saved" else "")
    own = {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
    if not own or manifest.config.get("features") == "module":
        raise ConfigError(
            f"features {path!r}: this detector has no features that another could stand on; give one of a model on "
            "features, such as padim, that did not stand on a module of your own"
        )
    return manifest, own
