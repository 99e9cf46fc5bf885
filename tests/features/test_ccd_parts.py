"""The parts of CCD and its detectors, against formulas, numpy, scikit-learn and kornia."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.metrics import ssim
from sklearn.covariance import oas as sklearn_oas

from daad.features import lite0
from daad.features.lite0 import Lite0Network
from daad.features.resnet import ResNet
from daad.features.strong_augmentations import AUGMENTATIONS, CLASSES, cut_and_permute, distributions, rotate
from daad.nn.gaussian_field import GaussianField, oas
from daad.nn.patches import DIRECTIONS, PatchGrid, cut_at, neighbouring_pairs, random_patches
from daad.nn.ssim import MultiScaleSSIM
from daad.nn.weak_augmentations import BrightnessContrast, RandomViews


class TestStrongAugmentations:
    @pytest.mark.parametrize("kind", list(AUGMENTATIONS))
    def test_there_are_four_and_the_first_is_the_identity(self, kind: str) -> None:
        images = torch.rand(3, 2, 16, 24)
        augmented = distributions(images, kind)
        assert augmented.shape == (4, 3, 2, 16, 24)
        assert torch.equal(augmented[0], images)
        assert len({augmented[k, 0].numpy().tobytes() for k in range(CLASSES)}) == CLASSES
        assert float(augmented.min()) >= 0 and float(augmented.max()) <= 1

    @pytest.mark.parametrize("k", range(CLASSES))
    def test_cut_and_permute_is_its_own_inverse(self, k: int) -> None:
        images = torch.rand(2, 1, 16, 32)
        assert torch.equal(cut_and_permute(cut_and_permute(images, k), k), images)

    def test_cut_and_permute_swaps_halves(self) -> None:
        images = torch.zeros(1, 1, 4, 4)
        images[..., :2, :2] = 1
        assert torch.equal(cut_and_permute(images, 1)[..., :2, 2:], torch.ones(1, 1, 2, 2))
        assert torch.equal(cut_and_permute(images, 2)[..., 2:, :2], torch.ones(1, 1, 2, 2))
        assert torch.equal(cut_and_permute(images, 3)[..., 2:, 2:], torch.ones(1, 1, 2, 2))

    def test_four_quarter_turns_are_none(self) -> None:
        images = rotated = torch.rand(1, 1, 16, 16)
        for _ in range(4):
            rotated = rotate(rotated, 1)
        assert torch.equal(rotated, images)


class TestPatches:
    @given(st.integers(16, 40), st.integers(16, 40), st.integers(2, 16), st.integers(1, 16))
    @settings(deadline=None, max_examples=40)
    def test_every_pixel_is_covered_and_blending_the_patches_gives_the_image(
        self, height: int, width: int, side: int, stride: int
    ) -> None:
        grid = PatchGrid(height, width, side, min(stride, side))
        images = torch.rand(2, 1, height, width)
        torch.testing.assert_close(grid.blend(grid.cut(images)[:, :, 0]), images[:, 0])

    def test_patches_are_slices_row_by_row(self) -> None:
        images = torch.rand(2, 3, 16, 24)
        patches = PatchGrid(16, 24, 8, 4).cut(images)
        assert patches.shape == (2, 3 * 5, 3, 8, 8)
        assert torch.equal(patches[:, 6], images[:, :, 4:12, 4:12])

    def test_random_patches_are_parts_of_their_images_in_order(self) -> None:
        images = torch.arange(4.0)[:, None, None, None].expand(4, 1, 16, 16)
        patches = random_patches(images, 5, 3)
        assert patches.shape == (12, 1, 5, 5)
        assert torch.equal(patches[:, 0, 0, 0], torch.arange(4.0).repeat(3))

    @given(st.integers(0, 2**31), st.sampled_from([(16, 16), (32, 48), (40, 21)]))
    @settings(deadline=None, max_examples=40)
    def test_pairs_lie_inside_the_image_and_in_their_direction(self, seed: int, size: tuple[int, int]) -> None:
        torch.manual_seed(seed)
        images, side = torch.rand(32, 1, *size), min(size) // 4
        pairs = neighbouring_pairs(images, side)
        first, second = pairs.corners
        limit = torch.tensor([length - side for length in size])
        for corners in (first, second):
            assert (corners >= 0).all() and (corners <= limit).all()
        offset = second - first
        assert torch.equal(offset.sign(), torch.tensor(DIRECTIONS)[pairs.direction])
        distance = offset.abs()[offset != 0]
        assert (distance >= 3 * side // 4).all() and (distance < max(side, 3 * side // 4 + 1)).all()
        assert torch.equal(pairs.second, cut_at(images, second, side))


class TestGaussianField:
    @given(st.integers(0, 2**31), st.lists(st.integers(1, 7), min_size=1, max_size=6))
    @settings(deadline=None, max_examples=30)
    def test_any_split_of_the_images_gives_the_covariance_of_numpy(self, seed: int, sizes: list[int]) -> None:
        rows = np.random.default_rng(seed).normal(100, [1, 5, 0.1], (sum(sizes), 2, 3))
        streamed, merged = GaussianField(2, 3), GaussianField(2, 3)
        for batch in np.split(rows, np.cumsum(sizes)[:-1]):
            streamed.update(torch.from_numpy(batch))
            other = GaussianField(2, 3)
            other.update(torch.from_numpy(batch))
            merged.merge(other)
        for field in (streamed, merged):
            for position in range(2):
                expected = np.cov(rows[:, position].T, bias=True)
                np.testing.assert_allclose(field.covariance()[position], expected, atol=1e-9)
                np.testing.assert_allclose(field.mean[position], rows[:, position].mean(axis=0))

    def test_the_shrinkage_is_that_of_scikit_learn(self) -> None:
        rows = np.random.default_rng(0).normal(0, [1, 5, 0.1, 2], (9, 3, 4))
        field = GaussianField(3, 4)
        field.update(torch.from_numpy(rows))
        for position in range(3):
            _, expected = sklearn_oas(rows[:, position])
            assert float(oas(field.covariance(), 9)[position]) == pytest.approx(expected)

    @pytest.mark.parametrize("shrinkage", ["oas", 0.2])
    def test_whitening_inverts_the_regularised_covariance(self, shrinkage: float | str) -> None:
        rows = torch.randn(5, 600, 4, dtype=torch.float64)  # more positions than one chunk
        field = GaussianField(600, 4)
        field.update(rows)
        white = field.whitening(shrinkage, 0.01)
        regularised = torch.linalg.inv(white.transpose(1, 2) @ white)
        torch.testing.assert_close(torch.linalg.cholesky(regularised), torch.linalg.inv(white))
        if shrinkage == 0.2:
            covariance = field.covariance()
            variance = covariance.diagonal(dim1=1, dim2=2).mean(dim=1)
            eye = torch.eye(4, dtype=torch.float64)
            expected = 0.8 * covariance + (0.2 * variance[:, None, None] + 0.01 * variance.mean() + 1e-8) * eye
            torch.testing.assert_close(regularised, expected)

    def test_whitening_is_finite_for_fewer_images_than_features_and_for_constant_features(self) -> None:
        field = GaussianField(1, 8)
        field.update(torch.ones(2, 1, 8))
        assert torch.isfinite(field.whitening("oas", 0.01)).all()


class TestMultiScaleSSIM:
    @pytest.mark.parametrize("size", [(256, 256), (64, 64), (32, 48), (16, 16), (8, 8)])
    def test_the_index_is_one_for_equal_images_and_lower_for_others(self, size: tuple[int, int]) -> None:
        compare, first = MultiScaleSSIM(*size), torch.rand(2, 3, *size)
        index, residual = compare(first, first)
        torch.testing.assert_close(index, torch.ones(2), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(residual, torch.zeros(2, *size), rtol=0, atol=1e-3)
        index, residual = compare(first, torch.rand(2, 3, *size))
        assert (index < 0.6).all() and (residual.mean(dim=(1, 2)) > 0.2).all()

    def test_scales_are_those_of_the_released_code_and_their_weights_sum_to_one(self) -> None:
        assert len(MultiScaleSSIM(256, 256).weights) == 5
        at_32 = MultiScaleSSIM(32, 32).weights
        assert at_32 == pytest.approx([0.0516, 0.3295, 0.3463, 0.2726], abs=1e-3)
        assert sum(at_32) == pytest.approx(1)

    def test_one_scale_is_the_ssim_of_kornia(self) -> None:
        first, second = torch.rand(2, 1, 256, 256), torch.rand(2, 1, 256, 256)
        luminance, structure = MultiScaleSSIM(256, 256)._terms(first, second)
        expected = ssim(first, second, 11)
        torch.testing.assert_close(
            (luminance * structure)[..., 8:-8, 8:-8], expected[..., 8:-8, 8:-8], rtol=1e-3, atol=1e-4
        )


def test_the_maps_of_the_backbone_halve_from_stage_to_stage() -> None:
    maps = ResNet(3, (8, 8, 16, 16), blocks=2, stem_stride=2)(torch.rand(2, 3, 33, 48))
    assert [tuple(level.shape[1:]) for level in maps] == [(8, 17, 24), (8, 9, 12), (16, 5, 6), (16, 3, 3)]


class TestViews:
    @pytest.mark.parametrize("channels", [1, 3, 5])
    def test_views_of_any_channels_stay_images_and_differ(self, channels: int) -> None:
        views = RandomViews(32, 48, 0.2, True, blur=True, jitter=0.4, colour=True, erase=True)
        images = torch.rand(4, channels, 32, 48)
        first, second = views(images), views(images)
        assert first.shape == images.shape
        assert float(first.min()) >= 0 and float(first.max()) <= 1 + 1e-5
        assert not torch.equal(first, second)

    def test_brightness_and_contrast_move_no_pixel(self) -> None:
        images = torch.zeros(64, 2, 16, 16)
        images[:, :, 3, 5] = 0.5
        jittered = BrightnessContrast(0.4)(images)
        assert (jittered[:, 0].flatten(1).argmax(dim=1) == 3 * 16 + 5).all()
        assert jittered.amax(dim=(1, 2, 3)).unique().numel() > 16
        assert torch.equal(BrightnessContrast(0.0)(images), images)


@pytest.fixture(scope="module")
def net() -> Lite0Network:
    return Lite0Network(side=64)


class TestLite0:
    def test_its_maps_have_four_strides_for_any_number_of_channels(self, net: Lite0Network) -> None:
        for channels in (1, 3, 5):
            maps = net(torch.rand(2, channels, 32, 48))
            assert [tuple(level.shape[1:]) for level in maps] == [(24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)]

    def test_its_weights_and_statistics_are_frozen(self, net: Lite0Network) -> None:
        before = {name: value.clone() for name, value in net.state_dict().items()}
        net.train()(torch.rand(2, 3, 64, 64))
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        assert not any(parameter.requires_grad for parameter in net.parameters())

    def test_grey_images_are_used_as_grey_rgb(self, net: Lite0Network) -> None:
        grey = torch.rand(1, 1, 64, 64)
        assert torch.equal(net(grey)[-1], net(grey.repeat(1, 3, 1, 1))[-1])

    def test_chunks_give_the_maps_of_one_pass(self, net: Lite0Network, monkeypatch: pytest.MonkeyPatch) -> None:
        images = torch.rand(5, 1, 32, 32)
        expected = net(images)
        monkeypatch.setattr(lite0, "AT_ONCE", 2)
        for chunked, level in zip(net(images), expected, strict=True):
            torch.testing.assert_close(chunked, level, rtol=1e-3, atol=1e-3)
