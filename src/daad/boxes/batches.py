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

ZOOM = (0.8, 1.25)  # smallest and largest factor, the same for both sides
CONTRAST, BRIGHTNESS = 0.2, 0.1


class BoxBatch(NamedTuple):
    """Images (B, C, H, W) in [0, 1]; for each image its boxes (N, 4) in pixels and their classes (N,)."""

    images: Tensor
    boxes: list[Tensor]
    labels: list[Tensor]


class BoxBatches:
    """Batches of prepared images with their boxes.

    Args:
        images: integer images (N, H, W, C), in memory or mapped from disk.
        boxes: of each image (n, 4), in pixels of the prepared image.
        labels: of each image the classes of its boxes (n,).
        device: where the batches go.
        rows: the images to train on, of which one may stand several times; None: all, once.

    Raises:
        TrainingError: there are no images.
    """

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
        """The batch of these `rows`, without augmentation."""
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
    """The batch with each image mirrored, zoomed, shifted and changed in contrast and brightness at random.

    With `turns` images are mirrored upside down too. Zoom factors lie in [0.8, 1.25]; border pixels are repeated where
    the image does not reach. A box whose centre leaves the image is dropped, others are clipped. This is not SSD's
    augmentation (crops by overlap, zooming out four times, colour), which is made for photographs of objects.
    """
    images, device = batch.images, batch.images.device
    count, _, height, width = images.shape
    uniform = torch.rand(count, 7)  # on the CPU, whose generator the training loop seeds
    flip = torch.where(uniform[:, :2] < 0.5, -1.0, 1.0)
    if not turns:
        flip[:, 1] = 1.0
    low, high = torch.tensor(ZOOM).log()
    zoom = (low + (high - low) * uniform[:, 2]).exp()
    shift = (2 * uniform[:, 3:5] - 1) * (zoom - 1).abs()[:, None]  # at most what zooming moved the border, half sides
    scale = flip * zoom[:, None]  # x' = scale x + shift, in [-1, 1]
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = 1 / scale[:, 0], 1 / scale[:, 1]
    matrix[:, :, 2] = -shift / scale
    grid = F.affine_grid(matrix.to(device), list(images.shape), align_corners=False)
    warped = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    contrast = (1 + CONTRAST * (2 * uniform[:, 5] - 1)).to(device)[:, None, None, None]
    brightness = (BRIGHTNESS * (2 * uniform[:, 6] - 1)).to(device)[:, None, None, None]
    warped = ((warped - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)
    boxes, labels = [], []
    for i in range(count):
        warped_boxes, inside = _warp_boxes(batch.boxes[i], scale[i].tolist(), shift[i].tolist(), (height, width))
        boxes.append(warped_boxes)
        labels.append(batch.labels[i][inside])
    return BoxBatch(warped.contiguous(memory_format=torch.channels_last), boxes, labels)


def _warp_boxes(boxes: Tensor, scale: list[float], shift: list[float], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The boxes after scale and shift, clipped to the image; and which (N,) still have their centre in it."""
    sides = boxes.new_tensor([size[1], size[0]])
    corners = boxes.reshape(-1, 2, 2) / sides * 2 - 1
    corners = corners * boxes.new_tensor(scale) + boxes.new_tensor(shift)
    corners = torch.stack([corners.amin(dim=1), corners.amax(dim=1)], dim=1)
    inside = (corners.mean(dim=1).abs() < 1).all(dim=1)
    clipped = (corners.clamp(-1, 1) + 1) / 2 * sides
    return clipped.reshape(-1, 4)[inside], inside
