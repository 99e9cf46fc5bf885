"""The contract between a model and the house: a typed config, an exportable forward, and how it is trained.

images -> AnomalyModel.forward -> Output(score, anomaly_map, reconstruction)
AnomalyModel.stages() -> [Stage(players stepped in turn, hooks, steps)] -> the one training loop
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from daad.presets import Preset
from daad.stages import ModelConfig, Trainable


class Output(NamedTuple):
    """What a model says of a batch: score (B,), anomaly_map (B, H, W), reconstruction (B, C, H, W) or None, and what
    else a reader wants to see beside the image, by name, (B, C, H, W) each in [0, 1]."""

    score: Tensor
    anomaly_map: Tensor
    reconstruction: Tensor | None
    pictures: Mapping[str, Tensor] = MappingProxyType({})


class AnomalyModel(Trainable):
    """A system that scores images; see the module's docstring for its two duties."""

    Config: ClassVar[type[ModelConfig]]
    presets: ClassVar[Mapping[str, Preset]]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def size_multiple(cls, settings: Mapping[str, Any]) -> int:
        """What the sides of images, where they follow from the images' shape, are rounded to a multiple of."""
        return 16

    @abstractmethod
    def forward(self, images: Tensor) -> Output:
        """Score float images (B, C, H, W) in [0, 1]; no side effects, exportable."""


@runtime_checkable
class ScoresUnseen(Protocol):
    """A model that can score its training images as if it had not learnt from them: what an audit ranks by."""

    def unseen_scores(self, scores: Tensor) -> Tensor:
        """The scores (N,) of all training images, each as if it had not been learnt from."""
