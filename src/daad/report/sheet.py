"""A contact sheet: thumbnails in a grid, two lines of text beneath each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from daad.report.pictures import own_picture
from daad.scoring.heat import RGB

CELL, CAPTION, COLUMNS = 220, 34, 6  # side of a cell and height of its text in pixels, cells in a row
MARGIN = 12
HIGHLIGHT, TEXT = "#b03a12", "#40505f"


class Thumbnail(NamedTuple):
    """A picture with two lines of text beneath it, the first of them coloured where it is `highlighted`."""

    picture: RGB
    title: str
    name: str
    highlighted: bool = True


def contact_sheet(thumbnails: Sequence[Thumbnail]) -> Image.Image:
    """The thumbnails in order, six in a row; an empty sheet is one white row."""
    rows = max(1, -(-len(thumbnails) // COLUMNS))
    sheet = Image.new("RGB", (COLUMNS * CELL, rows * (CELL + CAPTION)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.truetype(_font(), 11)
    for index, thumbnail in enumerate(thumbnails):
        left, top = index % COLUMNS * CELL, index // COLUMNS * (CELL + CAPTION)
        image = Image.fromarray(thumbnail.picture)
        image.thumbnail((CELL - MARGIN, CELL - MARGIN))
        sheet.paste(image, (left + (CELL - image.width) // 2, top + (CELL - image.height) // 2))
        draw.text((left + 6, top + CELL), thumbnail.title, HIGHLIGHT if thumbnail.highlighted else TEXT, font)
        draw.text((left + 6, top + CELL + 15), _shortened(thumbnail.name, font), TEXT, font)
    return sheet


def write_contact_sheet(thumbnails: Sequence[Thumbnail], path: Path) -> None:
    """Save the contact sheet as a PNG that is never taken for a user's image."""
    contact_sheet(thumbnails).save(path, pnginfo=own_picture(path.name))


def _font() -> Path:
    """DejaVu Sans, which comes with matplotlib: Pillow's default font has no letter beyond ASCII."""
    import matplotlib  # a second to import

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def _shortened(name: str, font: Any) -> str:
    """The end of a name, as much as fits beneath a picture."""
    text = name.encode("utf-8", "replace").decode()
    while len(text) > 4 and font.getlength(text) > CELL - MARGIN:
        text = "..." + text[4:].lstrip(".")
    return text
