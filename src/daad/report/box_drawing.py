"""Boxes drawn on their image: detected ones with class and score, labelled ones dashed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from daad.scoring.heat import RGB, display_rgb

# Okabe and Ito's colours, which people with any common colour blindness can distinguish.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
TRUE = "#ffffff"
THIN, SMALL = 2, 12  # pixels of a line and of a letter; at most twice that, as large images are viewed in parts
SMALLEST_SIDE = 320  # a smaller image is drawn enlarged, so that text on it can be read

Box = tuple[float, float, float, float]


def draw_boxes(
    image: npt.NDArray[Any],
    detections: Sequence[tuple[Box, str, float]],
    classes: Sequence[str],
    true: Sequence[Box] = (),
) -> RGB:
    """Draw boxes on an image; one under 320 pixels is enlarged by an integer factor.

    Args:
        image: (H, W, C) uint8 or uint16.
        detections: (box, class, score) in pixels of the image; drawn in the colour of the class, with a caption.
        classes: names of all classes; their order decides the colours.
        true: labelled boxes in pixels of the image; drawn as dashed white lines.
    """
    picture = Image.fromarray(display_rgb(image))
    factor = max(1, -(-SMALLEST_SIDE // max(1, min(picture.size))))
    factor = min(factor, 8)
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(picture)
    line = min(max(round(max(picture.size) / 400), THIN), 2 * THIN)
    font = ImageFont.load_default(min(max(round(max(picture.size) / 40), SMALL), 2 * SMALL))
    for box in true:
        _dashed(draw, [side * factor for side in box], line)
    for box, label, score in reversed(detections):  # the highest score on top
        colour = COLOURS[classes.index(label) % len(COLOURS)]
        sides = [side * factor for side in box]
        draw.rectangle(
            [sides[0], sides[1], max(sides[2] - 1, sides[0]), max(sides[3] - 1, sides[1])], None, colour, line
        )
        _caption(draw, f"{label} {score:.2f}", sides, colour, font, picture.size)
    return np.asarray(picture)


def _caption(
    draw: ImageDraw.ImageDraw, text: str, box: Sequence[float], colour: str, font: Any, size: tuple[int, int]
) -> None:
    """Above the box where there is room, inside it otherwise; never outside the picture."""
    plain = text.encode("latin-1", "replace").decode("latin-1")
    left, top, right, bottom = draw.textbbox((0, 0), plain, font)
    width, height = right - left + 6, bottom - top + 6
    x = min(max(0.0, box[0]), max(0.0, size[0] - width))
    y = box[1] - height if box[1] >= height else box[1]
    draw.rectangle([x, y, x + width, y + height], colour)
    draw.text((x + 3 - left, y + 3 - top), plain, "black", font)


def _dashed(draw: ImageDraw.ImageDraw, box: Sequence[float], line: int) -> None:
    left, top, right, bottom = box
    dash = 4.0 * line
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    for (x0, y0), (x1, y1) in pairwise(corners):
        length = max(abs(x1 - x0), abs(y1 - y0), 1e-9)
        for start in np.arange(0, length, 2 * dash):
            end = min(start + dash, length)
            ends = [x0 + (x1 - x0) * start / length, y0 + (y1 - y0) * start / length,
                    x0 + (x1 - x0) * end / length, y0 + (y1 - y0) * end / length]  # fmt: skip
            draw.line(ends, "black", line + 2)
            draw.line(ends, TRUE, line)
