"""The overlap losses: their gradients by finite differences, and the published ones of HIoU."""

from __future__ import annotations

import pytest
import torch

from daad.boxes.geometry import paired_iou
from daad.boxes.overlap_losses import OVERLAP_LOSSES


@pytest.mark.parametrize("name", list(OVERLAP_LOSSES))
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    box = torch.tensor([[2.0, 3.0, 9.0, 8.0], [0.0, 0.0, 4.0, 4.0]], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[4.0, 2.0, 10.0, 9.5], [1.0, 1.0, 4.5, 3.0]], dtype=torch.float64)
    loss = OVERLAP_LOSSES[name]  # type: ignore[index]
    assert torch.autograd.gradcheck(lambda b: loss(paired_iou(b, target)), box)


@pytest.mark.parametrize("name", list(OVERLAP_LOSSES))
def test_it_falls_from_one_to_zero(name: str) -> None:
    overlap = torch.linspace(0, 1, 101, dtype=torch.float64)
    values = OVERLAP_LOSSES[name](overlap)  # type: ignore[index]
    assert values[0] == 1 and values[-1] == 0
    assert (values[30:].diff() < 0).all()


def test_hious_gradient_grows_with_the_overlap_as_published() -> None:
    overlap = torch.tensor([0, 0.25, 0.5, 0.75, 0.9, 1], dtype=torch.float64, requires_grad=True)
    OVERLAP_LOSSES["hiou"](overlap).sum().backward()
    assert overlap.grad is not None
    published = torch.tensor([0.2, 0.62, 1.01, 1.39, 1.60, 1.74], dtype=torch.float64)
    torch.testing.assert_close(-overlap.grad, published, rtol=0, atol=0.006)
