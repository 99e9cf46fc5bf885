"""The README's picture is small, is made of images that daad draws, and keeps greys grey."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.pages.picture import PICTURE, caption, with_palette
from benchmarks.pages.plates import DEFECTS, SIDE, plate
from PIL import Image


def test_the_committed_picture_is_small_and_says_what_the_readme_says() -> None:
    assert PICTURE.stat().st_size < 200_000
    with Image.open(PICTURE) as picture:
        assert "benchmarks/pages/plates.py" in picture.info["Source"]
        assert "good 1 of 21, scratch 21 of 21, stain 21 of 21, missing hole 21 of 21" in picture.info["Description"]


def test_the_same_seed_draws_the_same_plate_and_another_seed_another() -> None:
    first, again, other = (plate(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (SIDE, SIDE) and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_changes_a_small_part_of_its_plate_and_nothing_else(defect: str) -> None:
    good, bad = (plate(np.random.default_rng(1), kind).astype(int) for kind in (None, defect))
    changed = abs(good - bad) > 20
    assert changed.any() and changed.mean() < 0.05
    assert (good == bad).mean() > 0.9


def test_a_caption_says_what_a_plate_is_and_what_was_said_of_it() -> None:
    found = [caption(kind, flagged) for kind in ("good", "stain") for flagged in (False, True)]
    assert found == ["good: passed", "good: false alarm", "stain: missed", "stain: found"]


def test_a_palette_moves_no_level_by_more_than_the_eye_sees() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    warm = np.stack([np.full(256, 240), np.arange(256) // 2, np.zeros(256)], axis=1).astype(np.uint8)[None]
    picture = Image.fromarray(np.concatenate([grey, warm]))
    apart = np.abs(np.asarray(with_palette(picture).convert("RGB")).astype(int) - np.asarray(picture))
    assert apart.max() <= 8
