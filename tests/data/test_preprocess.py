"""One spec, one result: independent of batch, path and channel count; sizes and channels derived as documented."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pydantic import ValidationError

from daad.data.arrays import ImageInfo
from daad.data.preprocess import Preprocess, resize_map, to_float
from daad.errors import ConfigError, DataError, ImageError

FEW = settings(max_examples=40, deadline=None)
FILTERS = ("box", "bilinear", "bicubic", "lanczos")
RNG = np.random.default_rng(1)
sides = st.integers(1, 12)
rgb = st.tuples(sides, sides).flatmap(lambda s: hnp.arrays(np.uint8, (*s, 3)))
grey16 = st.tuples(sides, sides).flatmap(lambda s: hnp.arrays(np.uint16, (*s, 1)))


def spec(height: int = 8, width: int = 8, channels: int = 3, **fields: Any) -> Preprocess:
    return Preprocess(height=height, width=width, channels=channels, **fields)


def info(height: int, width: int, channels: int = 3, dtype: Any = "uint8", name: str = "x.png") -> ImageInfo:
    return ImageInfo(height, width, channels, dtype, name)


@given(rgb, sides, sides, st.sampled_from(FILTERS))
@FEW
def test_each_channel_is_resized_as_pillow_resizes_rgb(pixels: np.ndarray, h: int, w: int, kernel: Any) -> None:
    expected = np.asarray(Image.fromarray(pixels).resize((w, h), getattr(Image.Resampling, kernel.upper())))
    np.testing.assert_array_equal(spec(h, w, interpolation=kernel).apply(pixels), expected)
    six = spec(h, w, 6, interpolation=kernel).apply(np.concatenate([pixels, pixels], axis=2))
    np.testing.assert_array_equal(six, np.concatenate([expected, expected], axis=2))
    one = spec(h, w, 1, interpolation=kernel).apply(pixels[..., :1])
    np.testing.assert_array_equal(one, expected[..., :1])


@given(rgb)
@FEW
def test_same_size_changes_nothing(pixels: np.ndarray) -> None:
    height, width, _ = pixels.shape
    for dtype in ("uint8", "uint16"):
        image = pixels.astype(dtype) * (257 if dtype == "uint16" else 1)
        np.testing.assert_array_equal(spec(height, width, dtype=dtype).apply(image), image)


@given(grey16, sides, sides, st.sampled_from(FILTERS))
@FEW
def test_16_bit_resize_agrees_with_8_bit_and_stays_in_range(pixels: np.ndarray, h: int, w: int, kernel: Any) -> None:
    deep = spec(h, w, 1, dtype="uint16", interpolation=kernel).apply(pixels)
    assert deep.dtype == np.uint16 and deep.shape == (h, w, 1)
    flat = np.full_like(pixels, pixels[0, 0, 0])
    assert (spec(h, w, 1, dtype="uint16", interpolation=kernel).apply(flat) == pixels[0, 0, 0]).all()
    if kernel in ("box", "bilinear"):
        assert pixels.min() <= deep.min() and deep.max() <= pixels.max()


def test_bicubic_overshoot_is_clipped_not_wrapped() -> None:
    edge = np.zeros((8, 8, 1), np.uint16)
    edge[:, 4:] = 65535
    result = spec(32, 32, 1, dtype="uint16", interpolation="bicubic").apply(edge)
    assert (np.diff(result[0, :, 0].astype(int))[14:17] >= 0).all()
    assert result[:, :8].max() == 0 and result[:, 24:].min() == 65535


@given(rgb)
@FEW
def test_luma_is_that_of_pillow(pixels: np.ndarray) -> None:
    height, width, _ = pixels.shape
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    np.testing.assert_array_equal(spec(height, width, 1).apply(pixels)[..., 0], expected)


@given(grey16)
@FEW
def test_grey_survives_three_channels_and_back(pixels: np.ndarray) -> None:
    height, width, _ = pixels.shape
    three = spec(height, width, 3, dtype="uint16").apply(pixels)
    assert three.shape == (height, width, 3)
    np.testing.assert_array_equal(spec(height, width, 1, dtype="uint16").apply(three), pixels)


@given(grey16)
@FEW
def test_depth_conversion_rounds_to_the_nearest(pixels: np.ndarray) -> None:
    height, width, _ = pixels.shape
    low = spec(height, width, 1, dtype="uint8").apply(pixels)
    np.testing.assert_array_equal(low, np.rint(pixels / 257))
    high = spec(height, width, 1, dtype="uint16").apply(low)
    np.testing.assert_array_equal(high, low.astype(np.uint16) * 257)
    np.testing.assert_allclose(to_float(high[None]), to_float(low[None]), rtol=0, atol=1e-7)


@given(rgb, st.integers(1, 9), st.integers(1, 9))
@FEW
def test_result_is_pure_and_independent_of_memory_layout(pixels: np.ndarray, h: int, w: int) -> None:
    before = pixels.copy()
    first = spec(h, w).apply(pixels)
    np.testing.assert_array_equal(spec(h, w).apply(np.asfortranarray(pixels)), first)
    np.testing.assert_array_equal(spec(h, w).apply(np.repeat(pixels, 2, axis=1)[:, ::2]), first)
    np.testing.assert_array_equal(pixels, before)
    assert first.flags.c_contiguous


def test_crop_comes_before_the_resize() -> None:
    image = RNG.integers(0, 256, (20, 40, 3), dtype=np.uint8)
    cropped = spec(7, 9, crop=(0.25, 0.5, 0.75, 1.0)).apply(image)
    np.testing.assert_array_equal(cropped, spec(7, 9).apply(image[10:20, 10:30]))


@given(sides, sides, st.lists(st.floats(0, 1), min_size=4, max_size=4))
@FEW
def test_crop_box_is_never_empty_nor_outside(height: int, width: int, cuts: list[float]) -> None:
    (left, right), (top, bottom) = sorted(cuts[:2]), sorted(cuts[2:])
    if left < right and top < bottom:
        box = spec(crop=(left, top, right, bottom)).crop_box(height, width)
        assert 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height


@pytest.mark.parametrize(("channels", "expected"), [(3, 5), (5, 3), (2, 1), (1, 2), (4, 3)])
def test_other_channel_counts_are_refused_by_name(channels: int, expected: int) -> None:
    with pytest.raises(ImageError, match=rf"a\.png: has {channels} channels, and {expected} are expected"):
        spec(channels=expected).apply(np.zeros((4, 4, channels), np.uint8), name="a.png")


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_decoded_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match="expected"):
        spec().apply(image)


@pytest.mark.parametrize(
    "fields",
    [
        {"height": 0},
        {"width": 8193},
        {"channels": 65},
        {"dtype": "float32"},
        {"interpolation": "nearest"},
        {"colour": 3},
        {"crop": (0.5, 0, 0.5, 1)},
        {"crop": (0, 0, 1, 1.1)},
        {"crop": (float("nan"), 0, 1, 1)},
    ],
)
def test_impossible_specs_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Preprocess(**{"height": 8, "width": 8, "channels": 3, **fields})


def test_spec_survives_json_and_is_frozen() -> None:
    original = spec(crop=(0, 0.1, 1, 0.9), dtype="uint16", interpolation="lanczos")
    assert Preprocess.model_validate_json(original.model_dump_json()) == original
    with pytest.raises(ValidationError):
        original.height = 4  # type: ignore[misc]


@given(hnp.arrays(st.sampled_from([np.uint8, np.uint16]), (2, 3, 4, 5)))
@FEW
def test_to_float_divides_by_white_and_puts_channels_first(batch: np.ndarray) -> None:
    result = to_float(batch)
    assert result.dtype == np.float32 and result.shape == (2, 5, 3, 4) and result.flags.c_contiguous
    exact = np.moveaxis(batch.astype(np.float32) / np.float32(np.iinfo(batch.dtype).max), -1, 1)
    np.testing.assert_array_equal(result, exact)
    np.testing.assert_array_equal(to_float(batch[1:]), result[1:])


def test_to_float_refuses_what_is_no_batch() -> None:
    with pytest.raises(ImageError, match="batch"):
        to_float(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ImageError, match="int64"):
        to_float(np.zeros((1, 4, 4, 3), np.int64))


def test_map_is_resized_to_the_complete_image() -> None:
    anomaly_map = RNG.random((8, 8), dtype=np.float32)
    full = spec().map_to_image(anomaly_map, (20, 40))
    assert full.shape == (20, 40) and full.dtype == np.float32
    np.testing.assert_array_equal(full, resize_map(anomaly_map, (20, 40)))
    np.testing.assert_array_equal(resize_map(anomaly_map, (8, 8)), anomaly_map)


def test_map_outside_the_crop_is_zero() -> None:
    full = spec(crop=(0.25, 0.5, 0.75, 1.0)).map_to_image(np.ones((8, 8), np.float32), (20, 40))
    assert (full[10:, 10:30] == 1).all() and full.sum() == 200


def test_peak_of_a_map_lands_where_the_image_has_it() -> None:
    anomaly_map = np.zeros((8, 8), np.float32)
    anomaly_map[2, 5] = 1
    peak = np.unravel_index(spec().map_to_image(anomaly_map, (24, 40)).argmax(), (24, 40))
    assert 6 <= peak[0] < 9 and 25 <= peak[1] < 30


# --- for_images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "channels"), [([1, 1], 1), ([3, 3], 3), ([1, 3, 1], 3), ([5, 5], 5), ([2], 2), ([64], 64)]
)
def test_channels_follow_the_images(counts: list[int], channels: int) -> None:
    assert Preprocess.for_images([info(8, 8, c) for c in counts], 32).channels == channels


def test_images_of_different_kinds_are_refused_by_name() -> None:
    images = [info(8, 8, 3, name="a.png"), info(8, 8, 3, name="b.png"), info(8, 8, 5, name="c.tif")]
    with pytest.raises(DataError, match=r"a\.png has 3, c\.tif has 5"):
        Preprocess.for_images(images, 32)


def test_one_deep_image_makes_the_spec_deep() -> None:
    assert Preprocess.for_images([info(8, 8), info(8, 8, dtype="uint16")], 32).dtype == "uint16"
    assert Preprocess.for_images([info(8, 8)], 32).dtype == "uint8"


@pytest.mark.parametrize(
    ("shapes", "image_size", "expected"),
    [
        ([(100, 100)], 256, (256, 256)),
        ([(100, 100)], 100, (100, 100)),
        ([(100, 100)], 24, (24, 24)),
        ([(100, 200)], 128, (128, 256)),
        ([(200, 100)], 128, (256, 128)),
        ([(100, 150), (100, 150), (100, 900)], 64, (64, 96)),
        ([(100, 130)], 64, (64, 80)),  # 83.2 to the nearest multiple of 16
        ([(100, 1000)], 64, (64, 256)),  # 4:1 at most
        ([(1000, 100)], 64, (256, 64)),
        ([(100, 200), (200, 100)], 64, (64, 64)),
        ([(100, 150)], (40, 50), (40, 50)),
        ([(100, 1000)], 8192, (8192, 8192)),
        ([(100, 200)], np.int64(128), (128, 256)),
        ([(100, 150)], [40, 50], (40, 50)),
        ([(100, 150)], (np.uint8(40), 50), (40, 50)),
    ],
)
def test_size_follows_the_median_aspect(shapes: Any, image_size: Any, expected: tuple[int, int]) -> None:
    derived = Preprocess.for_images([info(*shape) for shape in shapes], image_size)
    assert (derived.height, derived.width) == expected
    assert type(derived.height) is type(derived.width) is int


def test_aspect_is_that_of_the_crop() -> None:
    derived = Preprocess.for_images([info(100, 200)], 64, crop=(0.0, 0.0, 0.5, 1.0), interpolation="box")
    assert (derived.height, derived.width, derived.interpolation) == (64, 64, "box")


@given(st.lists(st.tuples(st.integers(1, 9999), st.integers(1, 9999)), min_size=1), st.integers(16, 1024))
@FEW
def test_transposed_images_give_the_transposed_size(shapes: list[tuple[int, int]], side: int) -> None:
    upright = Preprocess.for_images([info(h, w) for h, w in shapes], side)
    turned = Preprocess.for_images([info(w, h) for h, w in shapes], side)
    assert min(upright.height, upright.width) == side
    assert (upright.height, upright.width) == (turned.width, turned.height)


IMPOSSIBLE = [0, -1, 8193, (0, 4), (4, 9000), (1, 2, 3), (), (5,), [64]]
NO_SIZES = ["64", b"64", 64.0, True, None, ("64", "64"), (64, 64.0), (True, 64), {64: 64, 32: 32}, np.array([64, 64])]


@pytest.mark.parametrize("image_size", [*IMPOSSIBLE, *NO_SIZES])
def test_impossible_sizes_are_refused(image_size: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"image_size={image_size!r}")):
        Preprocess.for_images([info(8, 8)], image_size)


def test_no_images_are_refused() -> None:
    with pytest.raises(DataError, match="no image"):
        Preprocess.for_images([], 32)
