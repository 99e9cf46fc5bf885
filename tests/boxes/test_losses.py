"""The detector's losses against their definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from daad.boxes.geometry import encode, match
from daad.boxes.losses import class_loss, hardest, location_losses, match_anchors, segmentation_loss
from daad.boxes.weak_segmentation import ScaleRange

ANCHORS = torch.tensor([[0.0, 0, 10, 10], [10.0, 0, 20, 10], [0.0, 10, 10, 20], [10.0, 10, 20, 20]])


def test_every_anchor_has_the_class_and_box_it_is_matched_to() -> None:
    boxes = [torch.tensor([[1.0, 0, 10, 10]]), torch.zeros(0, 4)]
    labels = [torch.tensor([4]), torch.zeros(0, dtype=torch.long)]
    targets = match_anchors(ANCHORS, boxes, labels, 0.5)
    assert targets.labels.tolist() == [[5, 0, 0, 0], [0, 0, 0, 0]]
    assert targets.boxes[0, 0].tolist() == [1, 0, 10, 10]
    assert (match(ANCHORS, boxes[0]) >= 0).tolist() == (targets.labels[0] > 0).tolist()


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 30), st.integers(1, 60), st.floats(0.5, 5), st.integers(0, 1000))
def test_negatives_are_the_hardest_and_never_more_than_the_ratio(
    positives: int, others: int, ratio: float, seed: int
) -> None:
    loss = torch.rand(positives + others, generator=torch.Generator().manual_seed(seed))
    positive = torch.arange(positives + others) < positives
    kept = hardest(loss, positive, ratio)
    assert not (kept & positive).any()
    assert int(kept.sum()) == min(int(ratio * max(1, positives)), others)
    left = ~kept & ~positive
    if kept.any() and left.any():
        assert loss[kept].min() >= loss[left].max()


def test_the_class_loss_counts_positives_and_hard_negatives() -> None:
    logits = torch.tensor([[[0.0, 2.0], [3.0, 0.0], [0.0, 1.0], [0.0, 3.0], [0.5, 0.0], [0.0, 0.0]]])
    labels = torch.tensor([[1, 0, 0, 0, 0, 0]])
    losses = F.cross_entropy(logits[0], labels[0], reduction="none")
    expected = losses[0] + losses[1:].sort(descending=True).values[:3].sum()
    assert class_loss(logits, labels, 3.0) == pytest.approx(float(expected))


def test_images_without_boxes_are_learnt_from() -> None:
    logits = torch.zeros(2, 4, 3, requires_grad=True)
    class_loss(logits, torch.zeros(2, 4, dtype=torch.long), 3.0).backward()
    assert int((logits.grad != 0).any(dim=-1).sum()) == 3


def test_location_is_smooth_l1_and_overlap_of_the_positives_alone() -> None:
    targets = match_anchors(ANCHORS, [torch.tensor([[0.0, 0, 10, 8]])], [torch.tensor([0])], 0.5)
    offsets = torch.zeros(1, 4, 4)
    smooth, overlap = location_losses(offsets, ANCHORS, targets, "iou")
    expected = encode(torch.tensor([[0.0, 0, 10, 8]]), ANCHORS[:1])
    assert smooth == pytest.approx(float(F.smooth_l1_loss(torch.zeros(1, 4), expected, reduction="sum")))
    assert overlap == pytest.approx(0.2)  # IoU .8
    exact = encode(targets.boxes, ANCHORS)
    assert sum(location_losses(exact, ANCHORS, targets, "hiou")) == pytest.approx(0, abs=1e-5)
    assert location_losses(offsets, ANCHORS, targets, None)[1] == 0


def test_without_boxes_the_location_losses_are_zero_and_not_nan() -> None:
    targets = match_anchors(ANCHORS, [torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.long)], 0.5)
    offsets = torch.zeros(1, 4, 4, requires_grad=True)
    sum(location_losses(offsets, ANCHORS, targets, "hiou")).backward()
    assert (offsets.grad == 0).all()


def test_cells_of_other_scales_give_no_loss_and_no_gradient() -> None:
    boxes, labels = [torch.tensor([[0.0, 0, 32, 32], [40.0, 40, 48, 48]])], [torch.tensor([0, 1])]
    logits = torch.zeros(1, 3, 8, 8, requires_grad=True)
    by_scale, large = segmentation_loss([logits], boxes, labels, [ScaleRange(0, 16)], (64, 64)), 32**2
    by_scale.backward()
    assert (logits.grad[0, :, :4, :4] == 0).all() and (logits.grad[0, :, 5, 5] != 0).all()
    assert by_scale.item() == pytest.approx(float(torch.tensor(3.0).log()))
    assert (logits.grad != 0).any(dim=1).sum() == 64 - large // 64
    shared = segmentation_loss([logits], boxes, labels, [None], (64, 64))
    assert torch.autograd.grad(shared, logits)[0].ne(0).all()


def test_a_layer_all_of_whose_cells_are_ignored_gives_zero() -> None:
    boxes, labels = [torch.tensor([[0.0, 0, 64, 64]])], [torch.tensor([0])]
    assert segmentation_loss([torch.zeros(1, 2, 4, 4)], boxes, labels, [ScaleRange(0, 8)], (64, 64)) == 0
