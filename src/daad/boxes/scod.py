"""SCOD: a single-shot detector in which each layer learns by weak segmentation the boxes of its own scale.

    F_1 .. F_L = backbone(x)                           strides 8, 16, 32 (small); SSD's six or seven maps (paper)
    F_l' = F_l (1 + g_l),  g_l, S_l = segmentation block of layer l
    class logits, offsets = heads(F_l')                a few anchors in each cell
    L = CE(hard negatives 3:1) + SmoothL1 + 1.5 L_IoU + .1 sum_l CE(S_l, boxes of layer l's scale)
    boxes = decode(offsets), suppressed class by class at IoU .45

Source: Wang et al., "Layer-wise Customized Weak Segmentation Block and AIoU Loss for Accurate Object Detection",
arXiv 2108.11021. No code, table or formula of it is known to us: block, loss family and weights are a reconstruction
from related papers (SSD, DES, HarmonicDet), not the authors' own. `segmentation="none"` is SSD,
`"shared"` gives every layer the boxes of all scales as DES does, `"by_scale"` is SCOD.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import torch
from pydantic import Field, model_validator
from torch import Tensor

from daad.boxes.anchors import (
    SSD300,
    SSD512,
    Floats,
    Range,
    anchor_boxes,
    fitted_shapes,
    scale_ranges,
    ssd_shapes,
)
from daad.boxes.batches import BoxBatch, augmented
from daad.boxes.geometry import decode
from daad.boxes.losses import class_loss, location_losses, match_anchors, segmentation_loss
from daad.boxes.ssd import EXTRAS, SSD, SSDOutput, grids_of, make_backbone
from daad.boxes.weak_segmentation import ScaleRange
from daad.errors import ConfigError
from daad.presets import Preset
from daad.stages import Player, Size, Stage, Trainable, TrainedConfig

ANCHORS = 4  # in each cell, where they are fitted to the training boxes
MOST_CLASSES = 1000
SMALLEST, LARGEST = 64, 4096  # sides of the input in pixels
PAPER_ANCHORS = {300: (4, 6, 6, 6, 4, 4), 512: (4, 6, 6, 6, 6, 4, 4)}
NAME = "scod"


class SCODConfig(TrainedConfig):
    """Settings of SCOD. `classes`, `ranges` and `anchors` follow from the training boxes."""

    height: int = Field(ge=SMALLEST, le=LARGEST, description="input height in pixels")
    width: int = Field(ge=SMALLEST, le=LARGEST, description="input width in pixels")
    classes: tuple[str, ...] = Field(min_length=1, max_length=MOST_CLASSES)
    ranges: tuple[tuple[float, float], ...] = Field(min_length=1, max_length=16)
    anchors: tuple[tuple[tuple[float, float], ...], ...] = Field(min_length=1, max_length=16)
    segmentation: Literal["by_scale", "shared", "none"] = Field(
        "by_scale", description="weak segmentation: each layer its own scale, all scales in each layer (DES), or none"
    )
    overlap_loss: Literal["hiou", "pow", "riou", "iou", "none"] = Field(
        "hiou", description="loss of overlap beside SmoothL1: hiou, pow, riou, iou or none"
    )
    overlap_weight: float = Field(1.5, ge=0, le=100, description="weight of the loss of overlap")
    segmentation_weight: float = Field(0.1, ge=0, le=100, description="weight of weak segmentation")
    negatives: float = Field(3.0, gt=0, le=100, description="hard negatives for every positive anchor")
    match_iou: float = Field(0.5, gt=0, lt=1, description="IoU from which an anchor answers for a box")
    nms_iou: float = Field(0.45, gt=0, lt=1, description="IoU above which the lower of two boxes of a class is dropped")
    augment: bool = Field(True, description="mirror, zoom, move and relight training images at random")
    turns: bool = Field(True, description="mirror upside down too: false where up and down differ")
    optimiser: Literal["adam", "sgd"] = Field("adam", description="adam, or sgd with momentum .9 and decay 5e-4")

    @model_validator(mode="after")
    def _layers_fit(self) -> SCODConfig:
        if self.size == "paper" and (self.height != self.width or self.height not in EXTRAS):
            raise ConfigError(f"size paper takes images of 300x300 or 512x512, found {self.width}x{self.height}")
        layers = len(make_layers(self.size, self.height))
        if len(self.ranges) != layers or len(self.anchors) != layers or not all(self.anchors):
            raise ConfigError(f"ranges and anchors must be those of {layers} layers, at least one anchor each")
        return self

    @classmethod
    def has_layers(cls, size: object, height: int, width: int) -> bool:
        """Whether there is a network of this size for images of this shape."""
        if size == "paper":
            return height == width and height in EXTRAS
        return size in get_args(Size) and all(SMALLEST <= side <= LARGEST for side in (height, width))


class DenseBoxes(NamedTuple):
    """The boxes of all A anchors, before suppression.

    `scores` are class probabilities (B, A, classes), `boxes` (B, A, 4) are in pixels of the input.
    """

    scores: Tensor
    boxes: Tensor


class SCOD(Trainable):
    """The network; see the module's docstring."""

    Config: ClassVar[type[SCODConfig]] = SCODConfig
    presets: ClassVar[Mapping[str, Preset]] = {
        "small": Preset(160, {"epochs": 40}),
        "paper": Preset(
            300,
            {"size": "paper", "steps": 120_000, "batch_size": 32, "learning_rate": 1e-3, "optimiser": "sgd"},
        ),
    }

    def __init__(self, config: SCODConfig) -> None:
        super().__init__()
        self.config = config
        image = (config.height, config.width)
        self.network = SSD(
            config.size, config.channels, config.height, len(config.classes),
            [len(shapes) for shapes in config.anchors], segmented=config.segmentation != "none",
        )  # fmt: skip
        grids = grids_of(config.size, *image)
        layers = [anchor_boxes(grid, shapes, image) for grid, shapes in zip(grids, config.anchors, strict=True)]
        self.anchors: Tensor
        self.register_buffer("anchors", torch.cat([torch.from_numpy(a).float() for a in layers]), persistent=False)
        by_scale = config.segmentation == "by_scale"
        self.scale_ranges = [ScaleRange(*bounds) if by_scale else None for bounds in config.ranges]

    def forward(self, images: Tensor) -> DenseBoxes:
        """Class probabilities and boxes of images (B, C, H, W) in [0, 1]; no side effects, exportable."""
        raw: SSDOutput = self.network(images)
        return DenseBoxes(raw.logits.softmax(dim=-1)[..., 1:], decode(raw.offsets, self.anchors))

    def stages(self, images: int) -> list[Stage]:
        """One stage, one player."""
        config = self.config
        make: Any = (
            partial(torch.optim.Adam, lr=config.learning_rate, fused=True)
            if config.optimiser == "adam"
            else partial(torch.optim.SGD, lr=config.learning_rate, momentum=0.9, weight_decay=5e-4)
        )
        player = Player("detector", list(self.parameters()), make, self.loss)
        return [Stage("detect", [player], config.training_steps(images), config.batch_size)]

    def loss(self, batch: BoxBatch) -> dict[str, Tensor]:
        """The terms of the loss, weighted."""
        config = self.config
        if config.augment:
            batch = augmented(batch, turns=config.turns)
        raw: SSDOutput = self.network(batch.images)
        targets = match_anchors(self.anchors, batch.boxes, batch.labels, config.match_iou)
        kind = None if config.overlap_loss == "none" else config.overlap_loss
        smooth, overlap = location_losses(raw.offsets, self.anchors, targets, kind)
        terms = {"class": class_loss(raw.logits, targets.labels, config.negatives), "offset": smooth}
        if kind is not None:
            terms["overlap"] = config.overlap_weight * overlap
        if raw.segmentation:
            image = (config.height, config.width)
            terms["segmentation"] = config.segmentation_weight * segmentation_loss(
                raw.segmentation, batch.boxes, batch.labels, self.scale_ranges, image
            )
        return terms


def make_layers(size: str, side: int) -> list[int]:
    """The channels of each layer."""
    with torch.device("meta"):
        return list(make_backbone(size, 1, side).widths)


def layout(size: str, height: int, width: int, sizes: Floats) -> dict[str, Any]:
    """The settings `ranges` and `anchors` of a network: the published ones of SSD, or fitted to the training boxes.

    Args:
        size: that of the network; `paper` takes the published ones.
        height: of the input in pixels.
        width: of the input in pixels.
        sizes: width and height (N, 2) of the training boxes in pixels of the input.

    Returns:
        `ranges`: of each layer (low, high) of sqrt(width height). `anchors`: of each layer its shapes (width, height).
    """
    if size == "paper":
        bounds = SSD300 if height == 300 else SSD512
        published = list(zip(map(float, bounds[:-1]), map(float, bounds[1:]), strict=True))
        shapes = [ssd_shapes(scales, n) for scales, n in zip(published, PAPER_ANCHORS.get(height, ()), strict=False)]
        ranges: list[Range] = [(0.0, published[0][1]), *published[1:-1], (published[-1][0], 2.0 * height)]
    else:
        strides = [height // rows for rows, _ in grids_of(size, height, width)]
        ranges = scale_ranges(sizes.prod(axis=1) ** 0.5, strides, 2.0 * max(height, width))
        shapes = [fitted_shapes(sizes, scales, ANCHORS) for scales in ranges]
    return {"ranges": tuple(ranges), "anchors": tuple(tuple(layer) for layer in shapes)}
