"""Targets of weak segmentation: boxes in range give classes, others are ignored, the smaller wins, none is lost."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from daad.boxes.weak_segmentation import IGNORED, ScaleRange, WeakSegmentation, in_scale_range, segmentation_target

LAYERS = (ScaleRange(0, 16), ScaleRange(16, 40), ScaleRange(40, 1000))


def test_cells_are_those_whose_centre_a_box_covers() -> None:
    boxes = torch.tensor([[8.0, 0.0, 24.0, 31.0], [40.0, 40.0, 44.0, 44.0]])
    target = segmentation_target(boxes, torch.tensor([2, 0]), None, (8, 8), (64, 64))
    expected = torch.zeros(8, 8, dtype=torch.long)
    for i in range(8):
        for j in range(8):
            y, x = 8 * i + 4, 8 * j + 4
            if 8 <= x < 24 and 0 <= y < 31:
                expected[i, j] = 3
    expected[5, 5] = 1  # covers no centre: the cell it lies in
    assert torch.equal(target, expected)


def test_boxes_of_other_scales_are_ignored_and_never_background() -> None:
    boxes, labels = torch.tensor([[0.0, 0, 8, 8], [0.0, 0, 64, 64]]), torch.tensor([0, 1])
    small, _, large = (segmentation_target(boxes, labels, scales, (8, 8), (64, 64)) for scales in LAYERS)
    assert small[0, 0] == 1 and (small.flatten()[1:] == IGNORED).all()
    assert (large == 2).all()  # the box in range is painted over the ignored one


def test_the_smaller_box_wins() -> None:
    boxes, labels = torch.tensor([[16.0, 16, 32, 32], [0.0, 0, 64, 64]]), torch.tensor([4, 1])
    for order in ([0, 1], [1, 0]):
        target = segmentation_target(boxes[order], labels[order], None, (8, 8), (64, 64))
        assert (target[2:4, 2:4] == 5).all() and (target == 2).sum() == 60


@settings(deadline=None, max_examples=50)
@given(st.floats(1, 300), st.floats(1, 300))
def test_every_box_belongs_to_a_layer(width: float, height: float) -> None:
    box = torch.tensor([[0.0, 0.0, width, height]])
    assert any(bool(in_scale_range(box, scales)) for scales in LAYERS)


@pytest.mark.parametrize("classes", [1, 6])
def test_the_gate_starts_near_a_constant_and_ignored_cells_give_no_gradient(classes: int) -> None:
    torch.manual_seed(0)
    block, features = WeakSegmentation(16, classes), torch.randn(2, 16, 8, 8)
    gated, logits = block(features)
    assert gated.shape == features.shape and logits.shape == (2, classes + 1, 8, 8)
    ratio = gated / features
    assert ratio.std() < 0.1 and 1.3 < ratio.mean() < 1.7
    target = torch.full((2, 8, 8), IGNORED)
    target[:, 0, 0] = 1
    logits.retain_grad()
    F.cross_entropy(logits, target).backward()
    assert logits.grad is not None and (logits.grad.flatten(2)[..., 1:] == 0).all() and logits.grad[..., 0, 0].any()
