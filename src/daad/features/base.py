"""`Features`: float images in, feature maps out, with a spec of their strides, channels and source.

images (B, C, H, W) in [0, 1] -> Features -> [maps (B, D_i, h_i, w_i)], from fine to coarse
"""

from __future__ import annotations

import copy
import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from daad.errors import ConfigError
from daad.presets import Preset
from daad.stages import ModelConfig, Stage, Trainable


class MapShape(NamedTuple):
    """The shape of one feature map."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class FeatureSpec:
    """Strides of the maps in image pixels, their channels, and where the features come from.

    `trainable` features are trained in the fit. `sha256` is that of weights that were trained elsewhere, else None.
    """

    strides: tuple[int, ...]
    channels: tuple[int, ...]
    trainable: bool
    source: str
    sha256: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The spec as JSON reads it back."""
        return {**asdict(self), "strides": list(self.strides), "channels": list(self.channels)}


class Features(Trainable):
    """A network that gives feature maps; `stages` are the steps that train, load or calibrate it.

    Weights that are not trained here are buffers (`freeze`), so that every parameter belongs to a player.
    """

    Config: ClassVar[type[ModelConfig]] = ModelConfig
    presets: ClassVar[Mapping[str, Preset]] = {"small": Preset(None), "paper": Preset(None)}
    trainable: ClassVar[bool] = False

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps (B, D_i, h_i, w_i) of images (B, C, H, W) in [0, 1] of any size, from fine to coarse; exportable."""

    @property
    @abstractmethod
    def source(self) -> str:
        """Where the features come from, in words."""

    @property
    def sha256(self) -> str | None:
        """The hash of weights that were trained elsewhere. A stopped training resumes only with the same ones."""
        return None

    @classmethod
    def for_judging(cls, config: ModelConfig) -> Features:
        """The features without the parts that only their training needs."""
        return cls(config)

    @classmethod
    def resolved(cls, chosen: Any, settings: Mapping[str, Any], channels: int) -> dict[str, Any]:
        """A user's settings, completed by what follows from `chosen`, the name, path or module that the user gave."""
        return dict(settings)

    def stages(self, images: int) -> list[Stage]:
        """The stages that come before those of the model on the features."""
        return []

    def shapes(self) -> list[MapShape]:
        """The shapes of the maps of one image of the config's size. ConfigError where the network cannot take it."""
        return map_shapes(self, self.config.channels, self.config.height, self.config.width)

    def spec(self) -> FeatureSpec:
        """Strides, channels and source of these features."""
        shapes = self.shapes()
        strides = tuple(round(self.config.height / shape.height) for shape in shapes)
        channels = tuple(shape.channels for shape in shapes)
        return FeatureSpec(strides, channels, self.trainable, self.source, self.sha256)


class FrozenFeatures(Features):
    """Features of a `network` that is taken as it is: in evaluation mode, whatever is trained on it."""

    network: nn.Module

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode: batch statistics are frozen too."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.network(images)
        return maps


def freeze(module: nn.Module) -> nn.Module:
    """Turn the module's parameters into buffers, in place: saved and moved with it, but not trained."""
    for submodule in module.modules():
        for name, parameter in list(submodule._parameters.items()):
            del submodule._parameters[name]
            submodule.register_buffer(name, None if parameter is None else parameter.detach())
    return module.eval()


def state_sha256(module: nn.Module) -> str:
    """The hash of a module's weights and statistics."""
    digest = hashlib.sha256()
    for name, weights in module.state_dict().items():
        digest.update(f"{name} {weights.dtype} {list(weights.shape)}".encode())
        digest.update(weights.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def map_shapes(network: nn.Module, channels: int, height: int, width: int) -> list[MapShape]:
    """The shapes of a network's maps, from one black image.

    Args:
        network: images (B, C, H, W) -> list of maps (B, D, h, w).
        channels: C.
        height: H in pixels.
        width: W in pixels.

    Raises:
        ConfigError: where the network fails on such images, or gives no list of maps.
    """
    maps = _maps_of_black(copy.deepcopy(network).eval(), torch.zeros(1, channels, height, width))
    if not is_list_of_maps(maps):
        raise ConfigError("the features must give a list of maps (B, D, h, w), from fine to coarse")
    return [MapShape(*feature_map.shape[1:]) for feature_map in maps]


def is_list_of_maps(maps: Any) -> bool:
    """Whether a network's output is a list of maps (B, D, h, w)."""
    return isinstance(maps, Sequence) and bool(maps) and all(isinstance(m, Tensor) and m.ndim == 4 for m in maps)


def _maps_of_black(network: nn.Module, image: Tensor) -> Any:
    try:
        with torch.no_grad():
            return network(image)
    except Exception as error:
        shape = " x ".join(map(str, image.shape))
        raise ConfigError(
            f"the network fails on images of shape {shape} (B x C x H x W): {error}; give one that takes such images, "
            "or convert the images"
        ) from error
