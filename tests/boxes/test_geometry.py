"""Boxes against brute force: overlap, matching, offsets, suppression."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from daad.boxes.geometry import area, decode, encode, iou, match, paired_iou, suppress, suppress_by_class


def random_boxes(count: int, seed: int = 0, side: int = 40) -> Tensor:
    """Boxes of whole pixels, at least one pixel wide and high."""
    g = torch.Generator().manual_seed(seed)
    low = torch.randint(0, side - 1, (count, 2), generator=g)
    size = torch.randint(1, side // 2, (count, 2), generator=g)
    return torch.cat([low, (low + size).clamp_max(side)], dim=1).double()


def pixels(box: Tensor, side: int = 40) -> Tensor:
    left, top, right, bottom = (int(v) for v in box)
    plane = torch.zeros(side, side, dtype=torch.bool)
    plane[top:bottom, left:right] = True
    return plane


def test_overlap_is_that_of_counted_pixels() -> None:
    a, b = random_boxes(12), random_boxes(9, seed=1)
    planes = [[(pixels(x) & pixels(y)).sum() / (pixels(x) | pixels(y)).sum() for y in b] for x in a]
    torch.testing.assert_close(iou(a, b), torch.tensor(planes).double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(paired_iou(a[:9], b), iou(a[:9], b).diagonal())
    assert (area(a) == torch.stack([pixels(x).sum() for x in a])).all()


def test_empty_and_inverted_boxes_overlap_nothing() -> None:
    invalid = torch.tensor([[5.0, 5, 5, 9], [9.0, 9, 2, 2], [0.0, 0, 10, 10]])
    overlap = iou(invalid, invalid)
    assert torch.isfinite(overlap).all() and overlap[2, 2] == 1 and (overlap[:2] == 0).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(0, 6))
def test_matching_follows_its_rules(seed: int, anchors: int, boxes: int) -> None:
    a, b = random_boxes(anchors, seed), random_boxes(boxes, seed + 1)
    box_of_anchor, overlap = match(a, b), iou(a, b)
    if not boxes:
        assert (box_of_anchor == -1).all()
        return
    assert len(set(box_of_anchor.tolist()) - {-1}) >= min(anchors, boxes) if anchors >= boxes else True
    forced = 0
    for anchor, box in enumerate(box_of_anchor.tolist()):
        if box == -1:
            assert overlap[anchor].max() < 0.5
        elif overlap[anchor, box] < 0.5 or overlap[anchor, box] < overlap[anchor].max():
            forced += 1
    assert forced <= boxes  # no more exceptions than boxes that had to be given an anchor


def test_decode_inverts_encode() -> None:
    boxes, anchors = random_boxes(20), random_boxes(20, seed=3)
    torch.testing.assert_close(decode(encode(boxes, anchors), anchors), boxes)
    assert torch.isfinite(decode(torch.full((1, 4), 1e6), torch.tensor([[0.0, 0, 1, 1]]))).all()


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.45, 0.9])
def test_suppression_is_that_of_brute_force(threshold: float) -> None:
    boxes = random_boxes(60)
    scores = torch.rand(60, generator=torch.Generator().manual_seed(2)).mul(20).round() / 20  # with ties
    kept: list[int] = []
    for i in sorted(range(60), key=lambda i: -float(scores[i])):
        if all(float(iou(boxes[i : i + 1], boxes[j : j + 1])) <= threshold for j in kept):
            kept.append(i)
    assert suppress(boxes, scores, threshold).tolist() == kept
    assert suppress(boxes, scores, threshold, limit=3).tolist() == kept[:3]


def test_suppression_does_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, scores = random_boxes(700), torch.rand(700, generator=torch.Generator().manual_seed(3))
    at_once = suppress(boxes, scores, 0.3)
    monkeypatch.setattr("daad.boxes.geometry.BLOCK", 64)
    assert suppress(boxes, scores, 0.3).tolist() == at_once.tolist()
    assert suppress(boxes, scores, 0.3, limit=40).tolist() == at_once[:40].tolist()


def test_classes_do_not_suppress_each_other() -> None:
    boxes, scores = random_boxes(40), torch.rand(40, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40) % 3
    by_class = [
        i for c in range(3) for i in (labels == c).nonzero()[:, 0][suppress(boxes[labels == c], scores[labels == c])]
    ]
    together = suppress_by_class(boxes, scores, labels)
    assert sorted(together.tolist()) == sorted(int(i) for i in by_class)
    assert scores[together].tolist() == sorted(scores[together].tolist(), reverse=True)
    assert suppress_by_class(boxes[:0], scores[:0], labels[:0]).tolist() == []
