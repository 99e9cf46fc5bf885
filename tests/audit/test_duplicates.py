"""Near-duplicates: copies of a picture are grouped, different pictures are not, in any order and at any number."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from daad.audit.duplicates import TOLERANCE, duplicate_groups, thumbnails


def noise(count: int, seed: int = 0, side: int = 32, channels: int = 1) -> np.ndarray:
    """Different pictures: coarse noise, smoothly enlarged."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)
    return np.stack([np.atleast_3d(np.array(Image.fromarray(c.squeeze()).resize((side, side)))) for c in coarse])


def re_encoded(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer)).reshape(image.shape)


def brute_force(images: np.ndarray, tolerance: float) -> list[int]:
    """Connected components of all pairs, by repeated merging."""
    thumbs = thumbnails(images).astype(np.float64)
    group = list(range(len(images)))
    for i in range(len(images)):
        for j in range(i):
            if np.sqrt(np.mean((thumbs[i] - thumbs[j]) ** 2)) <= tolerance:
                old, new = group[i], group[j]
                group = [new if g == old else g for g in group]
    first = list(dict.fromkeys(group))
    return [first.index(g) for g in group]


def test_a_re_encoded_image_is_grouped_and_other_images_are_not() -> None:
    images = noise(30)
    pool = np.concatenate([images, re_encoded(images[3], 80)[None], re_encoded(images[3], 95)[None]])
    groups = duplicate_groups(pool)
    assert groups[3] == groups[30] == groups[31]
    assert len(set(groups.tolist())) == 30
    assert groups.tolist()[:30] == list(range(30))


@given(st.integers(0, 2**31), st.integers(2, 25), st.floats(0.0, 0.03))
@settings(max_examples=25, deadline=None)
def test_groups_are_those_of_all_pairs(seed: int, count: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    base = noise(3, seed)
    steps = rng.integers(-4, 5, (count, 1, 1, 1)) + rng.integers(-2, 3, (count, 32, 32, 1))
    pool = np.clip(base[rng.integers(0, 3, count)].astype(int) + steps, 0, 255).astype(np.uint8)
    expected = brute_force(pool, tolerance)
    if max(np.bincount(expected)) <= 9:  # beyond eight neighbours links may be missing
        assert duplicate_groups(pool, tolerance).tolist() == expected


def test_parts_in_the_same_position_under_a_camera_are_not_all_duplicates() -> None:
    rng = np.random.default_rng(0)
    part = noise(1, side=128)
    pool = np.clip(part + rng.normal(0, 2, (30, 128, 128, 1)), 0, 255).astype(np.uint8)
    pool = np.concatenate([pool, re_encoded(pool[3], 95)[None], pool[4:5]])
    groups = duplicate_groups(pool)
    assert groups[31] == groups[4] and groups[30] == groups[3]
    assert len(set(groups.tolist())) == 30


def test_any_size_from_16_pixels_on_has_thumbnails() -> None:
    np.testing.assert_allclose(thumbnails(np.full((2, 17, 40, 3), 77, np.uint8)), 77 / 255, rtol=1e-6)
    even = noise(3, side=48)
    cells = even.reshape(3, 16, 3, 16, 3).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(thumbnails(even).reshape(3, 16, 16), cells, rtol=1e-5)


def test_thousands_of_copies_are_one_group() -> None:
    pool = np.repeat(noise(2), 3000, axis=0)
    assert np.bincount(duplicate_groups(pool)).tolist() == [3000, 3000]


def test_depth_and_channels_do_not_matter() -> None:
    grey = noise(5, side=48)
    deep = np.repeat(grey.astype(np.uint16) * 257, 3, axis=3)
    np.testing.assert_allclose(thumbnails(deep), thumbnails(grey), atol=1e-5)


def test_constant_images_of_different_brightness_are_not_grouped() -> None:
    pool = np.stack([np.full((16, 16, 1), value, np.uint8) for value in (10, 10, 11, 60)])
    assert duplicate_groups(pool, TOLERANCE).tolist() == [0, 0, 0, 1]
