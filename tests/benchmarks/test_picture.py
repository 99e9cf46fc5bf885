"""The README's picture is small, names its source, and keeps greys grey."""

from __future__ import annotations

import numpy as np
from benchmarks.pages.picture import PICTURE, caption, with_palette
from PIL import Image


def test_the_committed_picture_is_small_and_names_its_source() -> None:
    assert PICTURE.stat().st_size < 300_000
    with Image.open(PICTURE) as picture:
        assert "elpv-dataset" in picture.info["Copyright"] and "CC BY-NC-SA 4.0" in picture.info["Copyright"]


def test_a_caption_says_what_a_cell_is_and_what_was_said_of_it() -> None:
    found = [caption(defective, flagged) for defective in (False, True) for flagged in (False, True)]
    assert found == ["good cell: passed", "good cell: false alarm", "defective cell: missed", "defective cell: found"]


def test_a_palette_moves_no_level_by_more_than_the_eye_sees() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    warm = np.stack([np.full(256, 240), np.arange(256) // 2, np.zeros(256)], axis=1).astype(np.uint8)[None]
    picture = Image.fromarray(np.concatenate([grey, warm]))
    apart = np.abs(np.asarray(with_palette(picture).convert("RGB")).astype(int) - np.asarray(picture))
    assert apart.max() <= 8
