"""Blended tile maps: what the tiles agree on is kept exactly, and where they differ there is no step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from daad.data.tiles import Tiling
from daad.scoring.blend import Blend


def blended(height: int, width: int, tiling: Tiling, maps: Any) -> Any:
    """`maps(top, left)` of each tile laid into one map."""
    tops, lefts = tiling.grid(height, width)
    down, across = tiling.step
    blend = Blend(width, (tiling.height, tiling.width), (tiling.height - down, tiling.width - across))
    parts = []
    for top in tops:
        parts.append(blend.move_to(top))
        for left in lefts:
            blend.add(left, *maps(top, left))
    return np.concatenate([*parts, blend.move_to(height)])


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.7])
@pytest.mark.parametrize("shape", [(16, 16), (50, 61), (48, 40)])
def test_maps_that_agree_come_back(overlap: float, shape: tuple[int, int]) -> None:
    whole = np.random.default_rng(0).random(shape).astype(np.float32)
    tiling = Tiling.of(16, overlap)
    found = blended(*shape, tiling, lambda top, left: (whole[top : top + 16, left : left + 16],))
    np.testing.assert_allclose(found, whole, rtol=1e-5)


def test_maps_that_differ_pass_into_each_other_without_a_step() -> None:
    tiling = Tiling.of(32, 0.5)
    level = np.random.default_rng(1).random(100)
    found = blended(32, 160, tiling, lambda top, left: (np.full((32, 32), level[left // 16], np.float32),))
    assert np.abs(np.diff(found[16])).max() <= 1.5 * np.abs(np.diff(level[:9])).max() / 16
    hard = blended(32, 160, Tiling.of(32, 0), lambda top, left: (np.full((32, 32), level[left // 16], np.float32),))
    assert np.abs(np.diff(hard[16])).max() > 0.2


def test_what_no_tile_judged_is_nan_and_what_is_not_valid_does_not_count() -> None:
    tiling, valid = Tiling.of(16, 0.5), np.ones((16, 16), bool)
    valid[:, :4] = False
    found = blended(16, 24, tiling, lambda top, left: (np.full((16, 16), left + 1.0, np.float32), valid))
    assert np.isnan(found[:, :4]).all() and (found[:, 4:8] == 1).all() and (found[:, 16:] == 9).all()
    assert (found[:, 8:12] == 1).all()  # the second tile holds nothing there
