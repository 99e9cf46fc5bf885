"""Tiles cover every pixel; training tiles are reproducible, and blocks of them share none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daad import ConfigError, ImageError
from daad.data import tiles
from daad.data.tiles import Tiling, block_of, training_windows


@given(st.integers(8, 40), st.integers(8, 40), st.floats(0, 0.9), st.integers(40, 200), st.integers(40, 200))
def test_every_pixel_is_in_a_tile_and_every_tile_in_the_image(
    tile_height: int, tile_width: int, overlap: float, height: int, width: int
) -> None:
    tiling = Tiling(height=tile_height, width=tile_width, overlap=overlap)
    tops, lefts = tiling.grid(height, width)
    for starts, side, length in ((tops, tile_height, height), (lefts, tile_width, width)):
        assert starts == sorted(set(starts)) and starts[0] == 0 and starts[-1] == length - side
        assert max(np.diff(starts), default=0) <= side


def test_without_overlap_the_tile_of_a_pixel_is_its_position_over_the_side() -> None:
    tops, lefts = Tiling(height=16, width=16, overlap=0).grid(64, 96)
    x, y = 37, 50
    assert (tops[y // 16], lefts[x // 16]) == (48, 32)
    assert len(tops) * len(lefts) == 24


@pytest.mark.parametrize(("tile", "overlap"), [(4, 0.25), (64, 0.95), ((64,), 0.25), ((64, 5000), 0.25), (64.0, 0.1)])
def test_an_impossible_tiling_is_refused(tile: object, overlap: float) -> None:
    with pytest.raises(ConfigError, match="give a side"):
        Tiling.of(tile, overlap)  # type: ignore[arg-type]


def test_an_image_smaller_than_a_tile_is_refused_by_name() -> None:
    with pytest.raises(ImageError, match=r"small\.png: 60x100 pixels are less than a tile of 64x64"):
        Tiling.of(64).grid(100, 60, "small.png")


def test_training_tiles_overlap_until_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "MIN_TRAINING_TILES", 40)
    (windows,) = training_windows([(64, 64)], Tiling.of(16), 0, blocks=False, tile_bytes=256)
    assert len(windows) == 49 and {window.top for window in windows} == set(range(0, 49, 8))


def test_too_many_training_tiles_are_drawn_from_and_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "MAX_TRAINING_TILES", 30)
    draws = [
        training_windows([(320, 320)] * 2, Tiling.of(16), seed, blocks=False, tile_bytes=256) for seed in (0, 0, 1)
    ]
    assert sum(map(len, draws[0])) == 30 and all(draws[0])
    assert draws[0] == draws[1] != draws[2]
    by_bytes = training_windows([(320, 320)], Tiling.of(16), 0, blocks=False, tile_bytes=2**29)
    assert len(by_bytes[0]) == 2


def test_tiles_of_two_blocks_share_no_pixel() -> None:
    tiling = Tiling.of(16)
    (windows,) = training_windows([(256, 200)], tiling, 0, blocks=True, tile_bytes=256)
    block_at = np.full((256, 200), -1)
    for window in windows:
        row, column = block_of(window, tiling)
        block, pixels = row * 100 + column, block_at[window.top : window.top + 16, window.left : window.left + 16]
        assert set(np.unique(pixels)) <= {-1, block}
        pixels[...] = block
    assert len(np.unique(block_at)) > 8
