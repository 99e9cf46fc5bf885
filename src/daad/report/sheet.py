"""A contact sheet: pictures in a grid, two lines of text beneath each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from daad.report.pictures import own_picture
from daad.scoring.heat import RGB

CELL, CAPTION, COLUMNS = 220, 34, 6  # pixels, pixels, cells a row
MARGIN = 12
STRONG, QUIET = "#b03a12", "#40505f"


class Cell(NamedTuple):
    """A picture, what stands beneath it, and whether that stands out."""

    picture: RGB
    first: str
    second: str
    strong: bool = True


def contact_sheet(cells: Sequence[Cell]) -> Image.Image:
    """The cells in order, six a row; an empty sheet is one white row."""
    rows = max(1, -(-len(cells) // COLUMNS))
    sheet = Image.new("RGB", (COLUMNS * CELL, rows * (CELL + CAPTION)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.truetype(_font(), 11)
    for place, cell in enumerate(cells):
        left, top = place % COLUMNS * CELL, place // COLUMNS * (CELL + CAPTION)
        image = Image.fromarray(cell.picture)
        image.thumbnail((CELL - MARGIN, CELL - MARGIN))
        sheet.paste(image, (left + (CELL - image.width) // 2, top + (CELL - image.height) // 2))
        draw.text((left + 6, top + CELL), cell.first, STRONG if cell.strong else QUIET, font)
        draw.text((left + 6, top + CELL + 15), _shortened(cell.second, font), QUIET, font)
    return sheet


def write_contact_sheet(cells: Sequence[Cell], path: Path) -> None:
    """Save the contact sheet as a PNG that is never taken for a user's image."""
    contact_sheet(cells).save(path, pnginfo=own_picture(path.name))


def _font() -> Path:
    """DejaVu Sans, which matplotlib brings along: Pillow's own font knows no letter beyond ASCII."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def _shortened(name: str, font: Any) -> str:
    """The end of a name, as much as fits beneath a picture."""
    text = name.encode("utf-8", "replace").decode()
    while len(text) > 4 and font.getlength(text) > CELL - MARGIN:
        text = "..." + text[4:].lstrip(".")
    return text
