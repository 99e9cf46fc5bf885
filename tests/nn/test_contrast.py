"""Contrastive losses against their written-out sums, the momentum copy, and random views."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from daad.models.mcod.momentum_encoder import momentum_copy, update_momentum
from daad.nn.losses import info_nce, nt_xent
from daad.nn.weak_augmentations import RandomViews


def test_nt_xent_is_the_sum_of_its_definition() -> None:
    first, second = (F.normalize(torch.randn(3, 5), dim=1) for _ in range(2))
    rows, total = torch.cat([first, second]).tolist(), 0.0
    for i, row in enumerate(rows):
        logits = [sum(a * b for a, b in zip(row, other, strict=True)) / 0.5 for other in rows]
        others = sum(math.exp(value) for j, value in enumerate(logits) if j != i)
        total -= math.log(math.exp(logits[(i + 3) % 6]) / others)
    torch.testing.assert_close(float(nt_xent(first, second, 0.5)), total / 6, rtol=1e-5, atol=1e-6)


def test_info_nce_is_the_sum_of_its_definition() -> None:
    query, positive, negatives = (F.normalize(torch.randn(n, 4), dim=1) for n in (2, 2, 3))
    expected = 0.0
    for q, p in zip(query, positive, strict=True):
        exponentials = [math.exp(float(q @ other) / 0.2) for other in (p, *negatives)]
        expected -= math.log(exponentials[0] / sum(exponentials)) / 2
    torch.testing.assert_close(float(info_nce(query, positive, negatives, 0.2)), expected, rtol=1e-5, atol=1e-6)


def test_a_momentum_copy_has_no_parameters_and_moves_by_the_momentum() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2))
    copied = momentum_copy(module)
    assert list(copied.parameters()) == []
    images = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(copied(images), module(images))
    with torch.no_grad():
        module[0].weight.fill_(2.0)
        copied[0].weight.fill_(1.0)
    mean = copied[1].running_mean.clone()
    update_momentum(copied, module, momentum=0.9)
    torch.testing.assert_close(copied[0].weight, torch.full_like(copied[0].weight, 1.1))
    assert torch.equal(copied[1].running_mean, mean)


def test_views_differ_from_image_to_image_and_repeat_with_the_seed() -> None:
    images = torch.rand(1, 3, 32, 48).repeat(4, 1, 1, 1)
    views = RandomViews(32, 48, smallest_crop=0.3, flip=True)
    torch.manual_seed(0)
    first = views(images)
    torch.manual_seed(0)
    again = views(images)
    assert first.shape == images.shape and torch.equal(first, again)
    assert all(not torch.equal(first[0], first[i]) for i in range(1, 4))
    assert first.min() >= 0 and first.max() <= 1
