"""Heat maps: colour follows the value and the threshold alone, and pictures never leave their folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from daad.report.pictures import save_pictures
from daad.scoring.heat import OUTLINE, SATURATION, contours, display_rgb, heat_map, overlay
from daad.scoring.prediction import Prediction

MASKS = arrays(bool, st.tuples(st.integers(1, 8), st.integers(1, 8)))


def warm(colours):
    """Whether red outweighs blue."""
    return colours[..., 0].astype(int) > colours[..., 2]


def luminance(colours):
    linear = (colours / 255) ** 2.2
    return linear @ [0.2126, 0.7152, 0.0722]


def test_a_value_has_one_colour_whatever_else_the_image_holds():
    calm, loud = np.full((4, 5), 0.3, np.float32), np.full((6, 6), 9.0, np.float32)
    calm[0, 0] = loud[0, 0] = 0.7
    assert (heat_map(calm, 0.5)[0, 0] == heat_map(loud, 0.5)[0, 0]).all()


@given(st.floats(1e-30, 1e30), st.floats(0, 10))
def test_warm_begins_exactly_at_the_threshold(threshold, times):
    value = np.float32(threshold * times)
    assert warm(heat_map(np.full((1, 1), value), threshold))[0, 0] == (value > np.float32(threshold))


def test_the_scale_depends_on_the_ratio_alone():
    values = np.linspace(0, 4, 50, dtype=np.float32)[None]
    np.testing.assert_array_equal(heat_map(values, 1.0), heat_map(values * 2**-20, 2**-20))


def test_lightness_never_falls_and_saturates():
    colours = heat_map(np.linspace(0, SATURATION, 400, dtype=np.float32)[None], 1.0)[0]
    assert (np.diff(luminance(colours)) >= -0.02).all()
    far = heat_map(np.array([[SATURATION, 50, np.inf]], np.float32), 1.0)[0]
    assert (far == colours[-1]).all()


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1e-300, 5e-324, 1e-45])
def test_a_threshold_of_nothing_divides_by_nothing(threshold):
    values = np.array([[threshold, 1.0, 1e30, -np.inf, np.nan]], np.float64).astype(np.float32)
    with np.errstate(all="raise", under="ignore"):
        colours = heat_map(values, threshold)
    assert warm(colours)[0].tolist() == [False, True, True, False, False]


def test_a_good_image_is_shown_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(overlay(image, np.full((30, 40), 0.5, np.float32), 1.0), image)


def test_only_what_is_above_the_threshold_is_outlined():
    image, values = np.full((40, 40, 1), 128, np.uint8), np.zeros((40, 40), np.float32)
    values[10:20, 10:20] = 1.5
    drawn = (overlay(image, values, 1.0) == OUTLINE).all(axis=2)
    expected = np.zeros((40, 40), bool)
    expected[10:20, 10:20] = True
    expected[11:19, 11:19] = False
    np.testing.assert_array_equal(drawn, expected)
    assert not (overlay(image, values, 1.5) == OUTLINE).all(axis=2).any()


def test_large_images_get_lines_of_two_pixels():
    values = np.zeros((500, 500), np.float32)
    values[100:200, 100:200] = 2
    drawn = (overlay(np.zeros((500, 500, 3), np.uint8), values, 1.0) == OUTLINE).all(axis=2)
    assert drawn[150].nonzero()[0].tolist() == [100, 101, 198, 199]


def test_an_overlay_of_two_sizes_is_refused():
    with pytest.raises(ValueError, match="one size"):
        overlay(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.float32), 1.0)


@given(MASKS)
def test_contours_are_the_pixels_that_touch_the_outside(mask):
    padded = np.pad(mask, 1)
    for y, x in np.ndindex(mask.shape):
        assert contours(mask)[y, x] == (mask[y, x] and not padded[y : y + 3, x : x + 3].all())


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_display_keeps_rgb_and_shows_the_mean_of_other_channels(channels):
    image = np.random.default_rng(0).integers(0, 256, (3, 4, channels), dtype=np.uint8)
    shown = display_rgb(image)
    expected = image if channels == 3 else np.repeat(np.rint(image.mean(axis=2, keepdims=True)), 3, axis=2)
    np.testing.assert_array_equal(shown, expected)
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(display_rgb(image.astype(np.uint16) * 257), shown)


def pictured(folder, name):
    prediction = Prediction(name, 1.0, 0.1, True, (), np.ones((6, 5), np.float32))
    return save_pictures(folder, prediction, np.zeros((6, 5, 1), np.uint8), 0.5)


def test_pictures_are_named_after_the_image_and_keep_its_folders(tmp_path):
    paths = pictured(tmp_path, "line 1/a.b.jpg")
    assert paths == [tmp_path / "line 1" / "a.b_heat.png", tmp_path / "line 1" / "a.b_overlay.png"]
    assert [Image.open(path).size for path in paths] == [(5, 6), (5, 6)]


HOSTILE = ["../x.png", "../../../etc/x", "/etc/passwd", "..\\..\\x.png", "C:\\x.png", "a/../../x.png", "..", "", "/"]
ODD = [
    "a:b?*<script>.png",
    "x" * 999 + ".png",
    "é漢字.png",
    "nul\0l.png",
    "new\nline.png",
    "bad\udc80.png",
    "a//b.png",
    ". /x",
]


@pytest.mark.parametrize("name", HOSTILE + ODD)
def test_pictures_stay_inside_the_folder(tmp_path, name):
    folder = tmp_path / "deep" / "pictures"
    for path in pictured(folder, name):
        assert path.resolve().is_relative_to(folder.resolve())
        assert path.is_file()
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(folder)]
    assert outside == []


@pytest.mark.parametrize("pair", [("b.png", "b.jpg"), ("a:b.png", "a?b.png"), ("a/b.png", "a//b.png")])
def test_two_images_never_share_a_picture(tmp_path, pair):
    first, second = (pictured(tmp_path, name) for name in pair)
    assert not set(first) & set(second)
    assert [pictured(tmp_path, name) for name in pair] == [first, second]  # a second run replaces, and adds nothing
    assert len(list(tmp_path.rglob("*.png"))) == 4


def test_a_foreign_file_is_never_replaced(tmp_path):
    mine = tmp_path / "a_heat.png"
    mine.write_text("not yours")
    assert mine not in pictured(tmp_path, "a.png")
    assert mine.read_text() == "not yours"


def test_an_image_that_was_not_judged_has_no_pictures(tmp_path):
    folder = tmp_path / "pictures"
    assert save_pictures(folder, Prediction("a.png", error="torn"), np.zeros((2, 2, 1), np.uint8), 0.5) == []
    assert not folder.exists()


def test_heat_needs_neither_torch_nor_matplotlib():
    code = "import sys, daad.scoring.heat, daad.report.report; print({'torch', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "set()"
