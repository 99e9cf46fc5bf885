"""Losses, error maps, discriminator, batch-norm re-estimation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from daad.models.daad.discriminator import Discriminator
from daad.nn.convs import ConvBNReLU, reestimate_batch_norms
from daad.nn.error_maps import GaussianBlur, RunningMoments, squared_error_map
from daad.nn.losses import fake_loss, real_loss, squared_error_per_image


def test_squared_error_is_the_mean_over_all_elements() -> None:
    a, b = torch.rand(3, 2, 4, 4), torch.rand(3, 2, 4, 4)
    torch.testing.assert_close(squared_error_per_image(a, b), ((a - b) ** 2).mean(dim=(1, 2, 3)))
    torch.testing.assert_close(squared_error_map(a, b)[:, 0], ((a - b) ** 2).mean(dim=1))


def test_real_and_fake_losses_are_the_original_gan_terms() -> None:
    logits = torch.randn(6)
    torch.testing.assert_close(real_loss(logits), -torch.log(torch.sigmoid(logits)).mean())
    torch.testing.assert_close(fake_loss(logits), -torch.log(1 - torch.sigmoid(logits)).mean())


@pytest.mark.parametrize("sigma", [0.0, 0.8, 2.0])
def test_blur_equals_scipy(sigma: float) -> None:
    maps = torch.rand(2, 1, 20, 24)
    blurred = GaussianBlur(sigma, 20, 24)(maps)
    radius = GaussianBlur(sigma, 20, 24).radius
    expected = [ndimage.gaussian_filter(m.numpy(), sigma, mode="mirror", radius=radius) for m in maps[:, 0]]
    torch.testing.assert_close(blurred[:, 0], torch.from_numpy(np.stack(expected)))


def test_a_blur_wider_than_the_map_is_cut_to_it() -> None:
    assert torch.isfinite(GaussianBlur(50.0, 16, 32)(torch.rand(1, 1, 16, 32))).all()


def test_running_moments_equal_those_of_all_maps_at_once() -> None:
    maps = torch.randn(11, 1, 4, 5) * 3 + 7
    moments = RunningMoments()
    for batch in maps.split([1, 5, 3, 2]):
        moments.update(batch)
    torch.testing.assert_close(moments.mean.float(), maps.mean(dim=0))
    torch.testing.assert_close(moments.std().float(), maps.std(dim=0, correction=0))


@pytest.mark.parametrize("shape", [(16, 16), (32, 32), (64, 160), (256, 256)])
def test_the_discriminator_takes_any_size_and_gives_one_logit_an_image(shape: tuple[int, int]) -> None:
    net = Discriminator(2, *shape, width=4, max_width=16, features=5).eval()
    images = torch.rand(3, 2, *shape)
    features = net.features(images)
    assert features.shape[:2] == (3, 5)
    assert net(images).shape == (3,)
    torch.testing.assert_close(net.classify(features), net(images))


def test_a_batch_of_one_value_a_channel_changes_no_statistics_and_a_constant_channel_is_not_scaled() -> None:
    norm, data = nn.BatchNorm2d(2), torch.rand(8, 2, 1, 1)
    data[:, 1] = 3.0
    reestimate_batch_norms(norm, norm, lambda: iter([data, data[:1]]))
    assert norm.running_mean.tolist() == pytest.approx([float(data[:, 0].mean()), 3.0])
    assert float(norm.running_var[1]) == 1 != float(norm.running_var[0])
    assert not norm._forward_pre_hooks and norm.momentum == 0.1


def test_a_failure_while_statistics_are_estimated_removes_hooks_and_restores_momentum() -> None:
    norm = nn.BatchNorm2d(2)
    with pytest.raises(RuntimeError):
        reestimate_batch_norms(norm, norm, lambda: iter([torch.rand(8, 3, 4, 4)]))
    assert not norm._forward_pre_hooks and norm.momentum == 0.1 and not norm.training


def test_batch_norm_statistics_become_those_of_the_data() -> None:
    block = ConvBNReLU(1, 4)
    data = [torch.rand(8, 1, 16, 16) for _ in range(3)]
    reestimate_batch_norms(block, block, lambda: iter(data))
    maps = block[0](torch.cat(data))
    torch.testing.assert_close(block[1].running_mean, maps.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(block[1].running_var, maps.var(dim=(0, 2, 3)), rtol=1e-2, atol=1e-4)
    assert not block.training
    assert block[1].momentum == 0.1
