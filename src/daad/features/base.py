"""`Features`: float images in, feature maps out, with a spec that says what they are and where they come from.

images (B, C, H, W) in [0, 1] -> Features -> [maps (B, D_i, h_i, w_i)], from fine to coarse
"""

from __future__ import annotations

import copy
import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from daad.errors import ConfigError
from daad.presets import Preset
from daad.stages import ModelConfig, Stage, Trainable


class MapShape(NamedTuple):
    """Of one feature map."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class FeatureSpec:
    """What features are: the stride of each map in image pixels, its channels, whether they are trained here, where
    they come from, and the sha256 of weights that were trained elsewhere (None where there are none)."""

    strides: tuple[int, ...]
    channels: tuple[int, ...]
    trainable: bool
    source: str
    sha256: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as JSON gives it back."""
        return {**asdict(self), "strides": list(self.strides), "channels": list(self.channels)}


class Features(Trainable):
    """Gives feature maps, and says in `stages` how they come about: learnt, settled, or taken from elsewhere.

    Weights that are not trained here are buffers (`freeze`), so that every parameter belongs to somebody who trains it.
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
        """Where the features come from, for people."""

    @property
    def sha256(self) -> str | None:
        """The hash of weights that were trained elsewhere. A stopped training goes on only with the same ones."""
        return None

    @classmethod
    def for_judging(cls, config: ModelConfig) -> Features:
        """The features without what only their training needs."""
        return cls(config)

    @classmethod
    def resolved(cls, chosen: Any, settings: Mapping[str, Any], channels: int) -> dict[str, Any]:
        """A user's settings with what follows from the name, path or module `chosen` that they were asked for by."""
        return dict(settings)

    def stages(self, images: int) -> list[Stage]:
        """How the features come about, before anything is learnt on them."""
        return []

    def shapes(self) -> list[MapShape]:
        """The maps of one image of the config's size. ConfigError where the network cannot take such images."""
        return map_shapes(self, self.config.channels, self.config.height, self.config.width)

    def spec(self) -> FeatureSpec:
        """What these features are."""
        shapes = self.shapes()
        strides = tuple(round(self.config.height / shape.height) for shape in shapes)
        channels = tuple(shape.channels for shape in shapes)
        return FeatureSpec(strides, channels, self.trainable, self.source, self.sha256)


def freeze(module: nn.Module) -> nn.Module:
    """Make the module's parameters buffers, in place: saved and moved with it, but trained by nobody."""
    for part in module.modules():
        for name, parameter in list(part._parameters.items()):
            del part._parameters[name]
            part.register_buffer(name, None if parameter is None else parameter.detach())
    return module.eval()


def state_sha256(module: nn.Module) -> str:
    """The hash of a module's weights and statistics."""
    digest = hashlib.sha256()
    for name, weights in module.state_dict().items():
        digest.update(f"{name} {weights.dtype} {list(weights.shape)}".encode())
        digest.update(weights.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def map_shapes(network: nn.Module, channels: int, height: int, width: int) -> list[MapShape]:
    """The shape of each map that a network gives for one image: found without computing anything, or where a network
    cannot do that, from one black image. ConfigError for what gives no maps of such images."""
    shape = (1, channels, height, width)
    try:
        maps = copy.deepcopy(network).to("meta").eval()(torch.empty(shape, device="meta"))
    except Exception:  # anything may happen in a network of the user's own
        maps = _maps_of_black(copy.deepcopy(network).eval(), torch.zeros(shape))
    if not is_list_of_maps(maps):
        raise ConfigError("the features must give a list of maps (B, D, h, w), from fine to coarse")
    return [MapShape(*each.shape[1:]) for each in maps]


def is_list_of_maps(maps: Any) -> bool:
    """Whether a network's answer is a list of maps (B, D, h, w)."""
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
