"""The contract of a model: a typed config, an exportable forward, and the stages of its training.

images -> AnomalyModel.forward -> Output(score, anomaly_map, reconstruction)
AnomalyModel.stages() -> [Stage(players stepped in turn, hooks, steps)] -> the training loop
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
    """Score (B,), anomaly_map (B, H, W) and reconstruction (B, C, H, W) or None of a batch.

    `pictures` are other images to show beside the input, by name, (B, C, H, W) in [0, 1].
    """

    score: Tensor
    anomaly_map: Tensor
    reconstruction: Tensor | None
    pictures: Mapping[str, Tensor] = MappingProxyType({})


class AnomalyModel(Trainable):
    """A model that scores images: `forward` scores them, `stages` say how it is trained."""

    Config: ClassVar[type[ModelConfig]]
    presets: ClassVar[Mapping[str, Preset]]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def size_multiple(cls, settings: Mapping[str, Any]) -> int:
        """The multiple that image sides are rounded to, where they follow from the shape of the images."""
        return 16

    @abstractmethod
    def forward(self, images: Tensor) -> Output:
        """Score float images (B, C, H, W) in [0, 1]; no side effects, exportable."""


@runtime_checkable
class ScoresUnseen(Protocol):
    """A model that can score its training images leave-one-out, for the ranking of an audit."""

    def unseen_scores(self, scores: Tensor) -> Tensor:
        """Leave-one-out scores (N,) of all training images, from their scores."""
