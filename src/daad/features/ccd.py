"""CCD: a backbone learnt from good images alone, by contrast between augmented distributions of them and two riddles.

Source: Tian et al., "Constrained Contrastive Distribution Learning for Unsupervised Anomaly Detection and Localisation
in Medical Images", MICCAI 2021, and the authors' released code. What judges images stands on the backbone: padim.py,
igd.py.

    x -> a_0(x) .. a_3(x) (strong) -> two weak views of each -> backbone -> f -> projection z, class k
    x -> two neighbouring patches -> backbone -> f_1 - f_2 -> direction, 1 of 8
    L = L_con(z: every a_k(x) is an instance of its own) + L_cla(which k) + L_pos(which direction)
"""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.optim import Optimizer

from daad.errors import ConfigError
from daad.features.resnet import ResNet
from daad.features.strong_augmentations import CLASSES, Strong, distributions
from daad.models.base import GIVEN, AnomalyModel, Batches, ModelConfig, Player, Size, Stage
from daad.nn.convs import reestimate_batch_norms
from daad.nn.losses import nt_xent
from daad.nn.patches import DIRECTIONS, PatchGrid, neighbouring_pairs, random_patches
from daad.nn.weak_augmentations import Light, RandomViews

WIDTHS: Mapping[Size, tuple[int, int, int, int]] = {
    "nano": (8, 8, 16, 16),
    "small": (16, 32, 64, 128),
    "paper": (64, 128, 256, 512),
}
BLOCKS: Mapping[Size, int] = {"nano": 1, "small": 1, "paper": 2}
STEM_STRIDE: Mapping[Size, int] = {"nano": 2, "small": 2, "paper": 1}
PROJECTION: Mapping[Size, int] = {"nano": 16, "small": 64, "paper": 128}
HIDDEN: Mapping[Size, int] = {"nano": 16, "small": 64, "paper": 128}  # of the two riddles' heads
SMALLEST_PATCH = 4  # pixels of its side
LOCAL_PATCHES = 4  # of an image in a step, scope local
PAPER: Mapping[str, Any] = {
    "size": "paper",
    "epochs": 2000,
    "learning_rate": 0.01,
    "patches": 8,
    "colour": True,
    "erase": True,
}
SMALL: Mapping[str, Any] = {"size": "small", "steps": 400}
LEARN, RANDOM = "ccd", "random"


class CCDConfig(ModelConfig):
    """Settings of the pre-training. `steps` and `epochs` are its length."""

    backbone: str = Field(
        LEARN,
        description="ccd: learn it here; random: leave it as it was drawn; given: a network of your own; else a saved "
        "ccd detector, or a safetensors file, to take it from",
    )
    strong: Strong = Field("cutperm", description="the four strong augmentations: cutperm, rotate, cutout or noise")
    use_dist: bool = Field(True, description="contrast all a_k(x); off: the images alone, which is SimCLR")
    use_cla: bool = Field(True, description="tell the strong augmentations apart (L_cla)")
    use_pos: bool = Field(True, description="tell where a neighbouring patch lies (L_pos)")
    scope: Literal["joint", "global", "local"] = Field(
        "joint", description="joint: images, and patches for L_pos; global: images, no L_pos; local: patches alone"
    )
    patches: int = Field(4, ge=2, le=64, description="the short side of an image in sides of a patch")
    anchors: Literal["both", "first"] = Field("both", description="views that L_con starts from; the code: first")
    temperature: float = Field(0.2, gt=0, description="tau of L_con")
    batch_size: int = Field(32, ge=2, le=4096, description="images a step; eight views of each")
    learning_rate: float = Field(0.05, gt=0, le=1, description="SGD's learning rate at its highest")
    weight_decay: float = Field(3e-4, ge=0, description="SGD's weight decay")
    smallest_crop: float = Field(0.2, gt=0, le=1, description="smallest share of the area that a weak view shows")
    flip: bool = Field(True, description="mirror every other weak view")
    jitter: float = Field(0.4, ge=0, le=1, description="change of brightness and contrast in weak views")
    colour: bool = Field(False, description="change saturation and hue too, where there are three channels")
    erase: bool = Field(False, description="a hole in every weak view")

    @model_validator(mode="after")
    def _riddles_have_a_subject(self) -> Self:
        if self.use_cla and not self.use_dist:
            raise ConfigError("use_cla needs use_dist: without strong augmentations there is nothing to tell apart")
        return self

    @model_validator(mode="after")
    def _patches_show_something(self) -> Self:
        if self.patch_side < SMALLEST_PATCH:
            raise ConfigError(
                f"patches {self.patches} leaves {self.patch_side} pixels a side, fewer than {SMALLEST_PATCH}; "
                "lower it, or raise image_size"
            )
        return self

    @property
    def patch_side(self) -> int:
        """K, pixels of a patch's side."""
        return min(self.height, self.width) // self.patches

    @property
    def asks_positions(self) -> bool:
        """Whether L_pos is there."""
        return self.use_pos and self.scope != "global"


class Heads(nn.Module):
    """What stands on f (B, width) while the backbone learns: projection, and the riddles that are asked."""

    def __init__(self, width: int, config: CCDConfig) -> None:
        super().__init__()
        hidden = HIDDEN[config.size]
        self.projection = _two_layers(width, width, PROJECTION[config.size])
        self.classes = _two_layers(width, hidden, CLASSES) if config.use_cla else None
        self.direction = _two_layers(width, hidden, len(DIRECTIONS)) if config.asks_positions else None


class CCD(AnomalyModel):
    """The backbone and how it learns; a detector adds what stands on it.

    `network` may be any module that gives a list of maps (B, D, h, w) of images (B, C, H, W); a copy of it is used, as
    it is.
    """

    takes_network: ClassVar[bool] = True
    config: CCDConfig

    def __init__(self, config: CCDConfig, network: nn.Module | None = None) -> None:
        super().__init__(config)
        size = config.size
        if (network is None) == (config.backbone == GIVEN):
            raise ConfigError(
                "backbone 'given' is a network of your own: give it to Detector.fit(..., network=...) and again to "
                "Detector.load(..., network=...)"
            )
        own = ResNet(config.channels, WIDTHS[size], BLOCKS[size], STEM_STRIDE[size])
        self.backbone: nn.Module = own if network is None else copy.deepcopy(network)
        self.shapes = map_shapes(self.backbone, config.channels, config.height, config.width)
        if config.backbone != LEARN:
            return
        self.heads = Heads(WIDTHS[size][-1], config)
        side = (config.patch_side,) * 2 if config.scope == "local" else (config.height, config.width)
        self.views = RandomViews(
            *side, config.smallest_crop, config.flip, jitter=config.jitter, colour=config.colour, erase=config.erase
        )
        self.light = Light(config.jitter)

    def pretraining(self, images: int) -> list[Stage]:
        """How the backbone comes about."""
        config = self.config
        if config.backbone == GIVEN:
            return []
        if config.backbone == RANDOM:
            return [Stage("backbone", [], 0, config.batch_size, end=self.settle)]
        if config.backbone != LEARN:
            return [Stage("backbone", [], 0, config.batch_size, begin=self.take_over)]
        if images < 2:
            raise ConfigError("one training image cannot be contrasted with others; give more images")
        parameters = [*self.backbone.parameters(), *self.heads.parameters()]
        player = Player("backbone", parameters, partial(sgd, config), self.contrast)
        return [Stage("pre-train", [player], config.training_steps(images), config.batch_size, end=self.settle)]

    def contrast(self, images: Tensor) -> dict[str, Tensor]:
        """L_con, L_cla and L_pos of a batch, as far as they are asked for."""
        config, heads = self.config, self.heads
        whole = random_patches(images, config.patch_side, LOCAL_PATCHES) if config.scope == "local" else images
        instances = (distributions(whole, config.strong) if config.use_dist else whole[None]).flatten(0, 1)
        f = self.pooled(self.views(torch.cat([instances, instances])))
        first, second = F.normalize(heads.projection(f).float(), dim=1).chunk(2)
        terms = {"con": nt_xent(first, second, config.temperature, config.anchors)}
        if heads.classes is not None:
            terms["cla"] = F.cross_entropy(heads.classes(f).float(), view_classes(len(whole)).to(f.device))
        if heads.direction is not None:
            pairs = neighbouring_pairs(images, config.patch_side)
            f1, f2 = self.pooled(self.light(torch.cat([pairs.first, pairs.second]))).chunk(2)
            terms["pos"] = F.cross_entropy(heads.direction(f1 - f2).float(), pairs.direction)
        return terms

    def pooled(self, images: Tensor) -> Tensor:
        """f (B, width): the mean of the last maps."""
        last: Tensor = self.backbone(images)[-1]
        return last.mean(dim=(2, 3))

    @torch.no_grad()
    def frozen(self, images: Tensor) -> list[Tensor]:
        """The maps as they will be when images are judged, whatever the mode of the model."""
        self.backbone.eval()
        return [maps.float() for maps in self.backbone(images)]

    def settle(self, batches: Batches) -> None:
        """Batch statistics over all training images, or all their patches."""
        config = self.config
        grid = PatchGrid(config.height, config.width, config.patch_side, config.patch_side)

        def forward(images: Tensor) -> object:
            seen = grid.to(images.device).cut(images).flatten(0, 1) if config.scope == "local" else images
            return self.backbone(seen)

        reestimate_batch_norms(self.backbone, forward, batches)

    def borrowed(self) -> Mapping[str, Tensor]:
        """A given network's weights, or the backbone of a saved detector."""
        place, wanted = self.config.backbone, self.backbone.state_dict()
        if place == GIVEN:
            return wanted
        if place in (LEARN, RANDOM):
            return {}
        found = backbone_weights(Path(place))
        if found.keys() != wanted.keys():
            raise ConfigError(f"backbone {place!r} is no backbone by CCD; give a detector fitted with a ccd model")
        for name, value in wanted.items():
            if found[name].shape != value.shape:
                raise ConfigError(
                    f"backbone {place!r} has another form: {name} is {list(found[name].shape)} there and "
                    f"{list(value.shape)} here; take size and channels as they are there"
                )
        return found

    def take_over(self, batches: Batches) -> None:
        """The backbone of a saved detector."""
        self.backbone.load_state_dict(self.borrowed())


def _two_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def view_classes(images: int) -> Tensor:
    """k of each row of the views: two sets, in each first all a_0(x), then all a_1(x), and so on, (8 * images,)."""
    return torch.arange(CLASSES).repeat_interleave(images).repeat(2)


def backbone_weights(path: Path) -> dict[str, Tensor]:
    """What a file, or a saved detector (folder or zip), says under `backbone.`; all of a file that has no such part."""
    member = "weights.safetensors"
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                content = archive.read(member)
        else:
            content = (path / member if path.is_dir() else path).read_bytes()
        tensors = load(content)
    except (OSError, KeyError, zipfile.BadZipFile, SafetensorError) as error:
        raise ConfigError(
            f"backbone {str(path)!r} is neither 'ccd' nor 'random', nor a file or a saved detector "
            f"that can be read ({error})"
        ) from None
    mine = {name.removeprefix("backbone."): value for name, value in tensors.items() if name.startswith("backbone.")}
    return mine or tensors


def map_shapes(backbone: nn.Module, channels: int, height: int, width: int) -> list[tuple[int, int, int]]:
    """(channels, height, width) of each map that a backbone gives: found without computing anything, or where a network
    cannot do that, from one black image. Raises ConfigError for what is no backbone for these images."""
    shape = (1, channels, height, width)
    try:
        found = copy.deepcopy(backbone).to("meta").eval()(torch.empty(shape, device="meta"))
    except Exception:  # anything may happen in a network of the user's own
        found = _maps_of_black(copy.deepcopy(backbone).eval(), torch.zeros(shape))
    maps = found if isinstance(found, list | tuple) else []
    if not maps or not all(isinstance(each, Tensor) and each.ndim == 4 for each in maps):
        raise ConfigError("the network must give a list of maps (B, D, h, w), from fine to coarse")
    return [(each.shape[1], each.shape[2], each.shape[3]) for each in maps]


def _maps_of_black(backbone: nn.Module, image: Tensor) -> Any:
    try:
        with torch.no_grad():
            return backbone(image)
    except Exception as error:
        shape = " x ".join(map(str, image.shape))
        raise ConfigError(
            f"the network fails on images of shape {shape} (B x C x H x W): {error}; give one that takes such images, "
            "or convert the images"
        ) from error


def sgd(config: CCDConfig, parameters: list[nn.Parameter]) -> Optimizer:
    """SGD with the released code's momentum."""
    return torch.optim.SGD(parameters, lr=config.learning_rate, momentum=0.9, weight_decay=config.weight_decay)
