"""Features of a saved detector, frozen. Every file is read by the artifact reader, which checks its hash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field

from daad.artifact.manifest import Manifest
from daad.artifact.place import MANIFEST, WEIGHTS
from daad.artifact.read import Arrays, read_artifact
from daad.errors import ArtifactError, ConfigError
from daad.features.base import Features, FrozenFeatures, freeze
from daad.stages import Batches, ModelConfig, Stage

PREFIX = "features."


class SavedConfig(ModelConfig):
    """The source of the features, and how to build them without reading it again."""

    path: str = Field("", description="the detector they were taken from")
    sha256: str = Field("", description="of its weights file")
    of: str = Field("ccd", description="the features' own name")
    settings: dict[str, Any] = Field(default_factory=dict, description="and their settings")


class SavedFeatures(FrozenFeatures):
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
        """Adds path, hash, features and their settings of the saved detector.

        Raises:
            ConfigError: for a detector without features of its own, or of images with other channels.
            ArtifactError: for a detector that is damaged or was changed.
        """
        manifest, _ = read_features(chosen)
        config = manifest.config
        of, of_settings = config["features"], config["feature_settings"]
        if of == "saved":  # saved features of saved features: the original network and its weights
            of, of_settings = of_settings["of"], of_settings["settings"]
        if config["channels"] != channels:
            raise ConfigError(
                f"features {chosen!r} were learnt from images with {config['channels']} channels, and these have "
                f"{channels}; give images of that kind, or learn the features anew"
            )
        sha256 = manifest.files[WEIGHTS].sha256
        return {**settings, "path": chosen, "sha256": sha256, "of": of, "settings": of_settings}

    @property
    def source(self) -> str:
        return f"the detector {self.config.path}: {self.network.source}"

    @property
    def sha256(self) -> str:
        return self.config.sha256

    def stages(self, images: int) -> list[Stage]:
        return [Stage("features", begin=self.load_weights)]

    def load_weights(self, batches: Batches) -> None:
        """Read the weights from the saved detector."""
        manifest, weights = read_features(self.config.path)
        if manifest.files[WEIGHTS].sha256 != self.config.sha256:
            raise ArtifactError(f"{self.config.path}: was changed since this fit began; fit again")
        names = self.network.state_dict()
        self.network.load_state_dict({name: torch.from_numpy(weights[name].copy()) for name in names})


def read_features(path: str) -> tuple[Manifest, Arrays]:
    """A detector's manifest, and the weights of its features by their names in the features' state dict."""
    artifact = Path(path)
    if artifact.name == WEIGHTS and (artifact.parent / MANIFEST).is_file():
        artifact = artifact.parent
    manifest, weights, _ = read_artifact(artifact, Manifest)
    prefix = PREFIX + ("network." if manifest.config.get("features") == "saved" else "")
    feature_weights = {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
    if not feature_weights or manifest.config.get("features") == "module":
        raise ConfigError(
            f"features {path!r}: this detector has no features that another could stand on; give one of a model on "
            "features, such as padim, that did not stand on a module of your own"
        )
    return manifest, feature_weights
