"""Features of an untrained ResNet: random weights, batch statistics of the good images.

A trivial baseline of feature learning that takes seconds.
"""

from __future__ import annotations

from torch import Tensor

from daad.features.base import Features, freeze
from daad.features.resnet import ResNet, build_resnet
from daad.nn.convs import reestimate_batch_norms
from daad.stages import Batches, ModelConfig, Stage


class RandomFeatures(Features):
    """Four maps at strides 2 to 16 (size paper: 1 to 8)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.network: ResNet = freeze(build_resnet(config.size, config.channels))  # type: ignore[assignment]

    def forward(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.network(images)
        return maps

    @property
    def source(self) -> str:
        return "a ResNet as it was drawn from the seed"

    def stages(self, images: int) -> list[Stage]:
        return [Stage("features", end=self.reestimate_statistics)]

    def reestimate_statistics(self, batches: Batches) -> None:
        """Batch statistics over all training images."""
        reestimate_batch_norms(self.network, self.network, batches)
