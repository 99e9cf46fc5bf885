"""Synthetic defects for training: bounded, seeded, and in the requested share of the images."""

from __future__ import annotations

import pytest
import torch

from daad.nn.corruption import LARGEST_AREA, SMALLEST_AREA, corrupt, defect_masks


def pictures(count: int = 64, channels: int = 1, height: int = 48, width: int = 32) -> torch.Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))


def test_a_share_of_zero_gives_the_images_themselves_and_draws_nothing() -> None:
    images, before = pictures(), torch.get_rng_state()
    assert corrupt(images, 0.0) is images
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("channels", [1, 3])
def test_corrupted_images_are_in_range_and_the_originals_unchanged(channels: int) -> None:
    images = pictures(channels=channels)
    original = images.clone()
    corrupted = corrupt(images, 1.0)
    assert torch.equal(images, original) and corrupted.shape == images.shape
    assert corrupted.min() >= 0 and corrupted.max() <= 1


def test_about_the_requested_share_of_images_has_a_small_defect() -> None:
    torch.manual_seed(0)
    images = pictures(400)
    changed = (corrupt(images, 0.5) != images).flatten(1).float().mean(dim=1)
    assert 0.4 < (changed > 0).float().mean() < 0.6
    assert changed.max() <= LARGEST_AREA + 0.01


def test_the_same_seed_gives_the_same_defects() -> None:
    corrupted = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        corrupted.append(corrupt(pictures(), 0.9))
    assert torch.equal(corrupted[0], corrupted[1]) and not torch.equal(corrupted[0], corrupted[2])


@pytest.mark.parametrize("shape", [(16, 16), (48, 32), (64, 160)])
def test_defect_masks_have_areas_within_the_limits(shape: tuple[int, int]) -> None:
    for seed in range(8):
        torch.manual_seed(seed)
        masks = defect_masks(torch.rand(32, 3, *shape))
        area = masks.mean(dim=(1, 2, 3))
        pixel = 1 / (shape[0] * shape[1])
        assert masks.shape == (32, 1, *shape) and set(masks.unique().tolist()) == {0.0, 1.0}
        assert area.min() >= SMALLEST_AREA - pixel and area.max() <= LARGEST_AREA + pixel
