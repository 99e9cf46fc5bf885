"""Boxes are drawn on their borders, and nothing is drawn outside the picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageColor

from daad.report.box_drawing import COLOURS, draw_boxes

COLOUR = np.array(ImageColor.getrgb(COLOURS[0]))


def is_coloured(picture: np.ndarray, y: int, x: int) -> bool:
    return bool((picture[y, x] == COLOUR).all())


def test_a_box_is_drawn_on_its_border_and_its_inside_is_left_alone() -> None:
    image = np.full((400, 500, 1), 50, np.uint8)
    picture = draw_boxes(image, [((100, 120, 200, 220), "a", 0.5)], ["a"])
    assert picture.shape == (400, 500, 3)
    assert (
        is_coloured(picture, 120, 150)
        and is_coloured(picture, 219, 150)
        and is_coloured(picture, 150, 100)
        and is_coloured(picture, 150, 199)
    )
    assert (picture[130:210, 110:190] == 50).all() and (picture[230:] == 50).all()
    assert (image == 50).all()


def test_small_images_are_enlarged_by_a_whole_factor() -> None:
    picture = draw_boxes(np.zeros((40, 100, 3), np.uint8), [((10, 10, 30, 30), "a", 0.9)], ["a"])
    assert picture.shape == (320, 800, 3)
    assert is_coloured(picture, 80, 160) and is_coloured(picture, 239, 160)
    assert draw_boxes(np.zeros((4, 4, 1), np.uint8), [], ["a"]).shape == (32, 32, 3)


@pytest.mark.parametrize("box", [(0, 0, 500, 400), (499.6, 399.5, 500, 400), (0, 0, 0.4, 0.2), (480, 0, 500, 20)])
def test_boxes_at_the_rim_and_tiny_ones_can_be_drawn(box: tuple[float, float, float, float]) -> None:
    name = "a name so long that it needs much room"
    picture = draw_boxes(np.zeros((400, 500, 3), np.uint8), [(box, name, 1.0)], [*"xyzxyzxyz", name])
    assert picture.shape == (400, 500, 3) and picture.any()


def test_true_boxes_are_dashed_and_unknown_letters_do_no_harm() -> None:
    picture = draw_boxes(
        np.full((400, 400, 1), 90, np.uint8),
        [((50, 60, 90, 99), "Lücke 孔", 0.3)],
        ["Lücke 孔"],
        true=[(200, 200, 300, 300)],
    )
    line = picture[200, 200:300]
    assert (line == 255).all(axis=1).any() and (line == 90).all(axis=1).any()


def test_captions_on_a_large_photograph_stay_small() -> None:
    picture = draw_boxes(
        np.full((2000, 3000, 1), 50, np.uint8), [((1000, 1000, 1040, 1040), "scratch", 0.9)], ["scratch"]
    )
    drawn = (picture != 50).any(axis=2)
    assert 0 < drawn.sum() < 10_000 and drawn[1000:1040, 1000].all()
