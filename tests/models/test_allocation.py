"""A config that nobody vouches for cannot take more memory than its weights explain."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from daad import ConfigError
from daad.models.allocation import SLACK, AllocationLimit


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.empty(2**20, 2**20),
        lambda: torch.zeros((2**20, 2**20)),
        lambda: torch.rand(size=(2**20, 2**20)),
        lambda: torch.full((2**20, 2**20), 1.0),
        lambda: torch.eye(2**20),
        lambda: torch.arange(2**40),
        lambda: torch.eye(100).repeat(2**30, 1, 1),
        lambda: nn.Linear(2**20, 2**20),
        lambda: nn.Conv2d(2**15, 2**15, 3),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_made(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match="more than the weights hold"), AllocationLimit(1000):
        make()


def test_many_small_tensors_count_together() -> None:
    with pytest.raises(ConfigError, match="more than the weights hold"), AllocationLimit(0):
        for _ in range(SLACK // 2**20 + 1):
            torch.empty(2**20)


def test_a_model_of_the_weights_size_is_built() -> None:
    with AllocationLimit(10_000):
        assert nn.Sequential(nn.Linear(50, 100), nn.BatchNorm1d(100))(torch.zeros(2, 50)).shape == (2, 100)
