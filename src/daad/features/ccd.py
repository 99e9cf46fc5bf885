"""CCD: features learnt from good images alone, by contrast of augmented distributions of them and two pretext tasks.

Source: Tian et al., "Constrained Contrastive Distribution Learning for Unsupervised Anomaly Detection and Localisation
in Medical Images", MICCAI 2021, and the authors' released code. The paper's detectors on these features are PaDiM and
IGD.

    x -> a_0(x) .. a_3(x) (strong) -> two weak views per a_k(x) -> network -> f -> projection z, class k
    x -> two neighbouring patches -> network -> f_1 - f_2 -> direction, 1 of 8
    L = L_con(z: every a_k(x) is a separate instance) + L_cla(class k) + L_pos(direction)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from daad.errors import ConfigError
from daad.features.base import Features
from daad.features.resnet import WIDTHS, build_resnet
from daad.features.strong_augmentations import CLASSES, Strong, distributions
from daad.nn.convs import reestimate_batch_norms
from daad.nn.losses import nt_xent
from daad.nn.patches import DIRECTIONS, PatchGrid, neighbouring_pairs, random_patches
from daad.presets import Preset
from daad.stages import Batches, ModelConfig, Player, Size, Stage, TrainedConfig

PROJECTION: Mapping[Size, int] = {"nano": 16, "small": 64, "paper": 128}
HIDDEN: Mapping[Size, int] = {"nano": 16, "small": 64, "paper": 128}  # width of the heads of the two pretext tasks
SMALLEST_PATCH = 4  # pixels of a side
LOCAL_PATCHES = 4  # patches of an image in a step, scope local
PAPER: Mapping[str, Any] = {
    "epochs": 2000,
    "learning_rate": 0.01,
    "patches": 8,
    "colour": True,
    "erase": True,
}
SMALL: Mapping[str, Any] = {"steps": 400}


class CCDConfig(TrainedConfig):
    """Settings of the pre-training. `steps` and `epochs` are its length."""

    strong: Strong = Field("cutperm", description="the four strong augmentations: cutperm, rotate, cutout or noise")
    use_dist: bool = Field(True, description="contrast all a_k(x); off: the images alone, which is SimCLR")
    use_cla: bool = Field(True, description="classify the strong augmentations (L_cla)")
    use_pos: bool = Field(True, description="classify the direction of a neighbouring patch (L_pos)")
    scope: Literal["joint", "global", "local"] = Field(
        "joint", description="joint: images, and patches for L_pos; global: images, no L_pos; local: patches alone"
    )
    patches: int = Field(4, ge=2, le=64, description="the short side of an image in sides of a patch")
    anchors: Literal["both", "first"] = Field("both", description="views that L_con starts from; the code: first")
    temperature: float = Field(0.2, gt=0, description="tau of L_con")
    batch_size: int = Field(32, ge=2, le=4096, description="images a step; eight views an image")
    learning_rate: float = Field(0.05, gt=0, le=1, description="SGD's learning rate at its highest")
    weight_decay: float = Field(3e-4, ge=0, description="SGD's weight decay")
    smallest_crop: float = Field(0.2, gt=0, le=1, description="smallest share of the area that a weak view shows")
    flip: bool = Field(True, description="mirror every other weak view")
    jitter: float = Field(0.4, ge=0, le=1, description="change of brightness and contrast in weak views")
    colour: bool = Field(False, description="change saturation and hue too, where there are three channels")
    erase: bool = Field(False, description="a hole in every weak view")

    @model_validator(mode="after")
    def _classes_need_distributions(self) -> Self:
        if self.use_cla and not self.use_dist:
            raise ConfigError("use_cla needs use_dist: without strong augmentations there are no classes")
        return self

    @model_validator(mode="after")
    def _patches_large_enough(self) -> Self:
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
    def trains_direction(self) -> bool:
        """Whether the loss has L_pos."""
        return self.use_pos and self.scope != "global"


class Heads(nn.Module):
    """The heads on f (B, width) during pre-training: projection, and those of the pretext tasks."""

    def __init__(self, width: int, config: CCDConfig) -> None:
        super().__init__()
        hidden = HIDDEN[config.size]
        self.projection = _mlp(width, width, PROJECTION[config.size])
        self.classes = _mlp(width, hidden, CLASSES) if config.use_cla else None
        self.direction = _mlp(width, hidden, len(DIRECTIONS)) if config.trains_direction else None


class CCD(Features):
    """A ResNet pre-trained on the good images; four maps at strides 2 to 16 (size paper: 1 to 8)."""

    Config: ClassVar[type[TrainedConfig]] = CCDConfig
    presets: ClassVar[Mapping[str, Preset]] = {"small": Preset(None, SMALL), "paper": Preset(None, PAPER)}
    trainable: ClassVar[bool] = True
    config: CCDConfig

    def __init__(self, config: CCDConfig, *, heads: bool = True) -> None:
        super().__init__(config)
        self.network = build_resnet(config.size, config.channels)
        self.heads = Heads(WIDTHS[config.size][-1], config) if heads else None

    @classmethod
    def for_judging(cls, config: ModelConfig) -> CCD:
        assert isinstance(config, CCDConfig)
        return cls(config, heads=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.network(images)
        return maps

    @property
    def source(self) -> str:
        return "learnt from the good images by CCD (Tian et al., MICCAI 2021)"

    def stages(self, images: int) -> list[Stage]:
        config = self.config
        if images < 2:
            raise ConfigError("one training image cannot be contrasted with others; give more images")
        assert self.heads is not None
        pretraining = ContrastiveLoss(self.network, self.heads, config)
        player = Player("features", list(self.parameters()), partial(sgd, config), pretraining.loss)
        end = self.reestimate_statistics
        return [Stage("features", [player], config.training_steps(images), config.batch_size, end=end)]

    def reestimate_statistics(self, batches: Batches) -> None:
        """Batch statistics over all training images, or all their patches."""
        config = self.config
        grid = PatchGrid(config.height, config.width, config.patch_side, config.patch_side)

        def forward(images: Tensor) -> object:
            inputs = grid.to(images.device).cut(images).flatten(0, 1) if config.scope == "local" else images
            return self.network(inputs)

        reestimate_batch_norms(self.network, forward, batches)


class ContrastiveLoss:
    """The loss of the pre-training, with its weak augmentations."""

    def __init__(self, network: nn.Module, heads: Heads, config: CCDConfig) -> None:
        from daad.nn.weak_augmentations import BrightnessContrast, RandomViews  # kornia is needed for training alone

        self.network, self.heads, self.config = network, heads, config
        side = (config.patch_side,) * 2 if config.scope == "local" else (config.height, config.width)
        self.views = RandomViews(
            *side, config.smallest_crop, config.flip, jitter=config.jitter, colour=config.colour, erase=config.erase
        )
        self.jitter = BrightnessContrast(config.jitter)
        self.views.to(next(network.parameters()).device)

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        """L_con, L_cla and L_pos of a batch, those that are switched on."""
        config, heads = self.config, self.heads
        inputs = random_patches(images, config.patch_side, LOCAL_PATCHES) if config.scope == "local" else images
        instances = (distributions(inputs, config.strong) if config.use_dist else inputs[None]).flatten(0, 1)
        f = self.pooled(self.views(torch.cat([instances, instances])))
        first, second = F.normalize(heads.projection(f).float(), dim=1).chunk(2)
        terms = {"con": nt_xent(first, second, config.temperature, config.anchors)}
        if heads.classes is not None:
            terms["cla"] = F.cross_entropy(heads.classes(f).float(), view_classes(len(inputs)).to(f.device))
        if heads.direction is not None:
            pairs = neighbouring_pairs(images, config.patch_side)
            f1, f2 = self.pooled(self.jitter(torch.cat([pairs.first, pairs.second]))).chunk(2)
            terms["pos"] = F.cross_entropy(heads.direction(f1 - f2).float(), pairs.direction)
        return terms

    def pooled(self, images: Tensor) -> Tensor:
        """f (B, width): the last map, averaged over its positions."""
        last: Tensor = self.network(images)[-1]
        return last.mean(dim=(2, 3))


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def view_classes(images: int) -> Tensor:
    """k of every row of the views, (8 * images,): two sets, each with all a_0(x) first, then all a_1(x), and so on."""
    return torch.arange(CLASSES).repeat_interleave(images).repeat(2)


def sgd(config: CCDConfig, parameters: list[nn.Parameter]) -> Optimizer:
    """SGD with the released code's momentum."""
    return torch.optim.SGD(parameters, lr=config.learning_rate, momentum=0.9, weight_decay=config.weight_decay)
