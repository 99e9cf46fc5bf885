"""The images of every step: a pure function of seed and step, so that a resumed run needs no state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daad.errors import TrainingError

Ints = npt.NDArray[Any]


@lru_cache(maxsize=4)
def _epoch(seed: int, stage: int, epoch: int, images: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, stage, epoch)).permutation(images)


def batch_indices(seed: int, stage: int, step: int, images: int, batch_size: int) -> npt.NDArray[np.int64]:
    """Indices of the images of one step: endless shuffled epochs, concatenated and cut into equal batches.

    Args:
        seed: of the run.
        stage: number of the stage.
        step: number of the step in its stage.
        images: number of training images.
        batch_size: images a step; at most all of them.
    """
    size = min(batch_size, images)
    positions = np.arange(step * size, (step + 1) * size)
    return np.array([_epoch(seed, stage, int(p) // images, images)[int(p) % images] for p in positions])


class Batches(Protocol):
    """The training data of a model, batch by batch."""

    def __len__(self) -> int: ...

    def take(self, indices: Ints) -> Any:
        """The batch of these images; random numbers come from torch's random state."""

    def in_order(self, batch_size: int) -> Iterator[Any]:
        """All images once, in order, in batches."""


class ImageBatches:
    """Float batches (B, C, H, W) in [0, 1] on a device, from stored integer images.

    Args:
        images: (N, H, W, C), integers.
        to_float: integer images -> float images (B, C, H, W) in [0, 1].
        device: where the batches go.
        rows: indices of the images to use; None: all.

    Raises:
        TrainingError: where there are no images.
    """

    def __init__(
        self, images: Ints, to_float: Callable[[Ints], Ints], device: torch.device, rows: Ints | None = None
    ) -> None:
        self.images = images
        self.rows = np.arange(len(images)) if rows is None else rows
        if not len(self.rows):
            raise TrainingError("there are no images to train on")
        self.to_float = to_float
        self.device = device

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: Ints) -> Tensor:
        """The batch of these images."""
        batch = torch.from_numpy(self.to_float(np.asarray(self.images[self.rows[indices]])))
        return batch.to(self.device).contiguous(memory_format=torch.channels_last)

    def in_order(self, batch_size: int) -> Iterator[Tensor]:
        """All images once, in order. A single last image joins the batch before it: batch statistics need two."""
        starts = list(range(0, len(self), batch_size))
        if len(starts) > 1 and len(self) - starts[-1] == 1:
            starts.pop()
        for start, end in zip(starts, [*starts[1:], len(self)], strict=True):
            yield self.take(np.arange(start, end))
