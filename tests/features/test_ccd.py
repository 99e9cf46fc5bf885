"""CCD's pre-training: positives and negatives, the labels of the pretext tasks, the terms of every ablation."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from daad import ConfigError
from daad.data.preprocess import to_float
from daad.features.ccd import CCD, CCDConfig, view_classes
from daad.features.strong_augmentations import CLASSES, cut_and_permute, distributions
from daad.nn.losses import nt_xent
from daad.training.loop import train
from tests.images import striped


def model(**settings: Any) -> CCD:
    torch.manual_seed(0)
    return CCD(CCDConfig.make(height=32, width=32, channels=1, size="nano", steps=4, **settings))


def test_patches_are_a_share_of_the_short_side_and_have_at_least_four_pixels() -> None:
    assert (model().config.patch_side, model(patches=8).config.patch_side) == (8, 4)
    preset = CCD.presets["paper"]
    assert CCDConfig.make(height=256, width=256, channels=3, **preset.settings).patch_side == 32
    with pytest.raises(ConfigError, match=r"patches 16 leaves 2 pixels a side"):
        model(patches=16)


def test_the_class_of_every_row_is_the_index_of_its_permutation() -> None:
    images = torch.rand(3, 1, 32, 32)
    instances = distributions(images, "cutperm").flatten(0, 1)
    rows = torch.cat([instances, instances])
    for row, k in zip(rows, view_classes(3), strict=True):
        restored = cut_and_permute(row[None], int(k))[0]
        assert any(torch.equal(restored, image) for image in images)
        others = [cut_and_permute(row[None], other)[0] for other in range(CLASSES) if other != int(k)]
        assert not any(torch.equal(other, image) for other in others for image in images)


def test_the_positive_of_a_row_is_the_other_view_of_the_same_instance_and_nothing_else() -> None:
    """Equal rows for the two views of an a_k(x) have no loss; the same image under another a_k is a negative."""
    z = torch.eye(12)  # three images under four distributions, a separate direction for every a_k(x)
    assert float(nt_xent(z, z, 0.05)) < 1e-4
    by_image = torch.eye(3).repeat(4, 1)  # one direction for all four a_k(x): four positives, one of which counts
    assert float(nt_xent(by_image, by_image, 0.05)) == pytest.approx(torch.log(torch.tensor(7.0)).item(), rel=1e-3)


def test_the_released_codes_anchors_give_the_first_half_of_the_symmetric_loss() -> None:
    first, second = (torch.nn.functional.normalize(torch.randn(8, 5), dim=1) for _ in range(2))
    both = nt_xent(first, second, 0.2)
    halves = [nt_xent(a, b, 0.2, "first") for a, b in ((first, second), (second, first))]
    torch.testing.assert_close(both, torch.stack(halves).mean())


@pytest.mark.parametrize(
    ("settings", "terms"),
    [
        ({}, {"con", "cla", "pos"}),
        ({"use_pos": False}, {"con", "cla"}),
        ({"use_pos": False, "use_cla": False}, {"con"}),
        ({"use_pos": False, "use_cla": False, "use_dist": False}, {"con"}),
        ({"scope": "global"}, {"con", "cla"}),
        ({"scope": "local"}, {"con", "cla", "pos"}),
        ({"strong": "rotate"}, {"con", "cla", "pos"}),
        ({"strong": "cutout"}, {"con", "cla", "pos"}),
        ({"strong": "noise"}, {"con", "cla", "pos"}),
    ],
)
def test_every_ablation_trains_with_its_terms(settings: dict[str, Any], terms: set[str]) -> None:
    summary = train(model(**settings), striped(8, 32, 32, 1), to_float, seed=0, accelerator="cpu", precision="32-true")
    assert {name.removeprefix("features/") for name in summary.last_terms} == terms


def test_the_network_gets_two_views_of_every_instance_and_two_patches_of_every_image() -> None:
    batch_sizes: list[int] = []
    net = model(batch_size=5).train()
    net.network.register_forward_pre_hook(lambda _, inputs: batch_sizes.append(len(inputs[0])))
    net.stages(5)[0].players[0].loss(torch.rand(5, 1, 32, 32))
    assert batch_sizes == [5 * 4 * 2, 5 * 2]


def test_the_classes_need_distributions() -> None:
    with pytest.raises(ConfigError, match="use_cla needs use_dist"):
        CCDConfig.make(height=32, width=32, channels=1, steps=1, use_dist=False)


def test_a_single_image_cannot_be_contrasted() -> None:
    with pytest.raises(ConfigError, match="one training image cannot be contrasted"):
        model().stages(1)


def test_the_pretext_tasks_are_learnt() -> None:
    """On images with a vertical gradient both losses fall well below chance within a minute's training."""
    ramp = torch.linspace(20, 230, 32)[:, None].expand(32, 32).byte().numpy()
    images = (ramp[None, :, :, None] // 2 + striped(32, 32, 32, 1) // 2).astype("uint8")
    net = CCD(CCDConfig.make(height=32, width=32, channels=1, size="nano", steps=80, smallest_crop=0.6, jitter=0.0))
    summary = train(net, images, to_float, seed=0, accelerator="cpu", precision="32-true")
    assert summary.last_terms["features/cla"] < 1.0  # chance: log 4 = 1.39
    assert summary.last_terms["features/pos"] < 1.8  # chance: log 8 = 2.08
