"""Augmentation moves the boxes with the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from daad import TrainingError
from daad.boxes.batches import BoxBatch, BoxBatches, augmented


def batch_of(box: tuple[int, int, int, int], count: int = 1, size: tuple[int, int] = (96, 128)) -> BoxBatch:
    """`count` black images with a white rectangle each, and its box."""
    images = torch.zeros(count, 1, *size)
    left, top, right, bottom = box
    images[:, :, top:bottom, left:right] = 1
    return BoxBatch(images, [torch.tensor([box]).float()] * count, [torch.tensor([3])] * count)


def test_augmented_boxes_surround_the_same_object() -> None:
    torch.manual_seed(0)
    batch = augmented(batch_of((50, 40, 80, 52), 64))
    moved = set()
    for image, boxes, labels in zip(*batch, strict=True):
        assert labels.tolist() == [3]
        bright = image[0] > 0.5
        rows, columns = bright.any(dim=1).nonzero()[:, 0], bright.any(dim=0).nonzero()[:, 0]
        visible = torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()
        torch.testing.assert_close(boxes[0], visible, atol=1.1, rtol=0)
        moved.add(tuple(boxes[0].round().tolist()))
    assert len(moved) > 50


def test_a_box_whose_centre_leaves_the_image_is_dropped_and_others_are_clipped() -> None:
    torch.manual_seed(0)
    batch = augmented(batch_of((0, 0, 24, 24), 200))
    kept = [boxes for boxes in batch.boxes if len(boxes)]
    assert 0 < len(kept) < 200
    assert all(len(boxes) == len(labels) for boxes, labels in zip(batch.boxes, batch.labels, strict=True))
    corners = torch.cat(kept)
    assert (corners >= 0).all() and (corners[:, 2] <= 128).all() and (corners[:, 3] <= 96).all()
    assert (corners[:, 2:] > corners[:, :2]).all()


def test_without_turns_images_are_not_mirrored_upside_down() -> None:
    torch.manual_seed(0)
    batch = batch_of((60, 4, 70, 14), 64)
    upright = torch.cat(augmented(batch, turns=False).boxes)
    assert (upright[:, 1] < 48).all()
    assert (torch.cat(augmented(batch).boxes)[:, 1] > 48).any()


def test_the_same_seed_gives_the_same_augmentation() -> None:
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(augmented(batch_of((10, 10, 40, 30), 4)))
    assert torch.equal(results[0].images, results[1].images)
    assert all(torch.equal(a, b) for a, b in zip(results[0].boxes, results[1].boxes, strict=True))


def test_batches_hold_the_training_rows_only() -> None:
    images = np.arange(4, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2)
    boxes, labels = [np.full((i, 4), float(i)) for i in range(4)], [np.full(i, i) for i in range(4)]
    batches = BoxBatches(images, boxes, labels, torch.device("cpu"), np.array([3, 1]))
    batch = batches.take(np.array([1, 0]))
    assert [len(boxes) for boxes in batch.boxes] == [1, 3] == [len(labels) for labels in batch.labels]
    assert (batch.images[:, 0, 0, 0] * 255).round().tolist() == [1, 3]
    assert [len(part.images) for part in batches.in_order(1)] == [1, 1]
    with pytest.raises(TrainingError, match="no images"):
        BoxBatches(images, boxes, labels, torch.device("cpu"), np.array([], dtype=int))
