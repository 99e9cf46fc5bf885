"""Features of timm and torchvision networks, `timm/resnet18` or `torchvision/resnet18`, where these are installed.

daad installs neither of them, and ships no weights. Weights come from a safetensors file (`weights`). With
`pretrained` the package downloads them itself.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from safetensors.torch import load as parse_tensors
from torch import Tensor, nn

from daad.artifact.read import MAX_FILE_BYTES
from daad.errors import ArtifactError, ConfigError
from daad.features.base import FrozenFeatures, freeze
from daad.presets import Preset
from daad.stages import Batches, ModelConfig, Stage

PACKAGES = ("timm", "torchvision")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
STAGES = ("layer1", "layer2", "layer3", "layer4")  # of torchvision's residual nets


class ForeignConfig(ModelConfig):
    """The network, and where its weights come from."""

    network: str = Field("", description="package/name, such as timm/resnet18 or torchvision/resnet18")
    pretrained: bool = Field(True, description="let the package fetch its own weights, where no file is given")
    weights: str | None = Field(None, description="a safetensors file with the network's weights")
    sha256: str | None = Field(None, description="of the weights; given, another file is refused")


class ForeignFeatures(FrozenFeatures):
    """The maps of the network's stages, frozen. Images without three channels are averaged over them to a grey RGB."""

    Config: ClassVar[type[ModelConfig]] = ForeignConfig
    presets: ClassVar[Mapping[str, Preset]] = {"small": Preset(224), "paper": Preset(224)}
    config: ForeignConfig

    def __init__(self, config: ForeignConfig) -> None:
        super().__init__(config)
        package, _, name = config.network.partition("/")
        self.network = freeze(_create_network(package, name, pretrained=False))
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).reshape(1, 3, 1, 1), persistent=False)

    mean: Tensor
    deviation: Tensor

    @classmethod
    def resolved(cls, chosen: Any, settings: Mapping[str, Any], channels: int) -> dict[str, Any]:
        """Adds the name of the network, and the hash of the weights file where one is given."""
        weights = settings.get("weights")
        if weights is None:
            return {**settings, "network": chosen}
        sha256 = hashlib.sha256(_read_weights(weights, settings.get("sha256"))).hexdigest()
        return {**settings, "network": chosen, "sha256": sha256}

    def forward(self, images: Tensor) -> list[Tensor]:
        rgb = images if images.shape[1] == 3 else images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
        maps: Any = self.network((rgb - self.mean) / self.deviation)
        return list(maps)

    @property
    def source(self) -> str:
        return f"{self.config.network}, weights {self.config.weights or 'of the package'}"

    @property
    def sha256(self) -> str | None:
        return self.config.sha256

    def stages(self, images: int) -> list[Stage]:
        return [Stage("features", begin=self.load_weights)] if self.config.weights or self.config.pretrained else []

    def load_weights(self, batches: Batches) -> None:
        """Load the weights, from the file or by the package."""
        package, _, name = self.config.network.partition("/")
        if self.config.weights is None:
            self.network.load_state_dict(_create_network(package, name, pretrained=True).state_dict())
            return
        try:
            self.network.load_state_dict(parse_tensors(_read_weights(self.config.weights, self.config.sha256)))
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise ArtifactError(f"{self.config.weights}: does not fit {self.config.network} ({reason})") from None


def _read_weights(path: str, sha256: str | None) -> bytes:
    try:
        if Path(path).stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than the {MAX_FILE_BYTES} bytes allowed")
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"weights {path!r} cannot be read ({error.strerror}); give a safetensors file") from None
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ArtifactError(f"{path}: its sha256 is not {sha256}; give the file that was meant")
    return content


def _create_network(package: str, name: str, *, pretrained: bool) -> nn.Module:
    """A network whose forward gives a list of maps."""
    if package not in PACKAGES:
        raise ConfigError(f"features {package}/{name}: known packages are {', '.join(PACKAGES)}")
    try:
        module: Any = importlib.import_module("timm" if package == "timm" else "torchvision.models")
    except ImportError as error:
        raise ConfigError(f"features {package}/{name} need {package}: pip install {package} ({error})") from None
    try:
        if package == "timm":
            net: nn.Module = module.create_model(name, pretrained=pretrained, features_only=True)
            return net
        return _ResNetStages(module.get_model(name, weights="DEFAULT" if pretrained else None))
    except (RuntimeError, ValueError, KeyError) as error:
        raise ConfigError(f"features {package}/{name}: {package} cannot make this network ({error})") from None


class _ResNetStages(nn.Module):
    """A torchvision residual net, cut into its stages."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        if not all(hasattr(net, name) for name in STAGES):
            raise ValueError("it has no stages layer1 to layer4; wrap it in a module of your own that gives maps")
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.parts = nn.ModuleList(getattr(net, name) for name in STAGES)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [self.stem(images)]
        for stage in self.parts:
            maps.append(stage(maps[-1]))
        return maps[1:]
