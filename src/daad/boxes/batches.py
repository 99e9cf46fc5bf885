"""Images with their boxes for the training loop, and the augmentation that moves both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from daad.data.preprocess import to_float
from daad.errors import TrainingError

ZOOM = (0.8, 1.25)  # of both sides together
CONTRAST, BRIGHTNESS = 0.2, 0.1


class BoxBatch(NamedTuple):
    """images (B, C, H, W) in [0, 1]; for each its boxes (N, 4) in pixels of these images, and their classes (N,)."""

    images: Tensor
    boxes: list[Tensor]
    labels: list[Tensor]


class BoxBatches:
    """Batches of stored integer images (N, H, W, C) with the boxes of each, in pixels of the stored image."""

    def __init__(
        self,
        images: npt.NDArray[Any],
        boxes: Sequence[npt.NDArray[np.float64]],
        labels: Sequence[npt.NDArray[np.int64]],
        device: torch.device,
        rows: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.images, self.boxes, self.labels, self.device = images, boxes, labels, device
        self.rows = np.arange(len(images)) if rows is None else rows
        if not len(self.rows):
            raise TrainingError("there are no images to train on")

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: npt.NDArray[Any]) -> BoxBatch:
        """The batch of these images, as they are stored."""
        rows = self.rows[indices]
        images = torch.from_numpy(to_float(np.asarray(self.images[rows]))).to(self.device)
        return BoxBatch(
            images.contiguous(memory_format=torch.channels_last),
            [torch.from_numpy(self.boxes[row]).float().to(self.device) for row in rows],
            [torch.from_numpy(self.labels[row]).to(self.device) for row in rows],
        )

    def in_order(self, batch_size: int) -> Iterator[BoxBatch]:
        """All images once, in order."""
        for start in range(0, len(self), batch_size):
            yield self.take(np.arange(start, min(start + batch_size, len(self))))


def augmented(batch: BoxBatch, *, turns: bool = True) -> BoxBatch:
    """The batch mirrored (with `turns` also upside down), zoomed by a factor in [0.8, 1.25], moved, and changed in
    contrast and brightness, image by image, at random; the border is drawn out where
    the image does not reach.

    A box whose centre leaves the image is dropped, others are clipped. Ours: SSD's own augmentation (crops by overlap,
    zooming out four times, colour) is made for photographs of things.
    """
    images, device = batch.images, batch.images.device
    count, _, height, width = images.shape
    drawn = torch.rand(count, 7)  # on the CPU, where the loop's seed rules
    flip = torch.where(drawn[:, :2] < 0.5, -1.0, 1.0)
    if not turns:
        flip[:, 1] = 1.0
    low, high = torch.tensor(ZOOM).log()
    zoom = (low + (high - low) * drawn[:, 2]).exp()
    shift = (2 * drawn[:, 3:5] - 1) * (zoom - 1).abs()[:, None]  # as far as zooming moved the border, half sides
    scale = flip * zoom[:, None]  # x' = scale x + shift, in [-1, 1]
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = 1 / scale[:, 0], 1 / scale[:, 1]
    matrix[:, :, 2] = -shift / scale
    grid = F.affine_grid(matrix.to(device), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    contrast = (1 + CONTRAST * (2 * drawn[:, 5] - 1)).to(device)[:, None, None, None]
    brightness = (BRIGHTNESS * (2 * drawn[:, 6] - 1)).to(device)[:, None, None, None]
    moved = ((moved - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)
    boxes, labels = [], []
    for place in range(count):
        found, inside = _moved(batch.boxes[place], scale[place].tolist(), shift[place].tolist(), (height, width))
        boxes.append(found)
        labels.append(batch.labels[place][inside])
    return BoxBatch(moved.contiguous(memory_format=torch.channels_last), boxes, labels)


def _moved(boxes: Tensor, scale: list[float], shift: list[float], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Boxes where the image's points went, clipped to it, and which of them (N,) still have their centre in it."""
    sides = boxes.new_tensor([size[1], size[0]])
    corners = boxes.reshape(-1, 2, 2) / sides * 2 - 1
    corners = corners * boxes.new_tensor(scale) + boxes.new_tensor(shift)
    corners = torch.stack([corners.amin(dim=1), corners.amax(dim=1)], dim=1)
    inside = (corners.mean(dim=1).abs() < 1).all(dim=1)
    clipped = (corners.clamp(-1, 1) + 1) / 2 * sides
    return clipped.reshape(-1, 4)[inside], inside
