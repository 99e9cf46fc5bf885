"""docs/figures/cells.png: solar cells that a detector never saw, and what it says of them.

    python -m benchmarks.pages.picture                           learns first, as `make demo` does: about a minute
    python -m benchmarks.pages.picture --detector demo/detector  takes what `make demo` made

The cells are those of `make demo`, from the PyPI package elpv-dataset (CC BY-NC-SA 4.0; so is the picture). They are
chosen by the rank of their score and not by eye, and one that is missed is among them. The heat maps are those that
`daad predict --pictures` writes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from benchmarks.pages.figures import FOLDER
from daad import Detector, Sample
from daad.cli import run
from daad.data.demo import write_demo_split
from daad.data.layouts import read_layout

PICTURE = FOLDER / "cells.png"
SHOWN = ((False, 0.5), (True, 0.1), (True, 0.5), (True, 0.75))  # defective or not, rank among its like from 0 to 1
SIDE, GAP, LINE = 236, 10, 26
INK, PAPER = (40, 40, 40), (255, 255, 255)
HALF = 128  # of the colours of a picture
GREYISH = 12  # levels between the channels of a pixel that still count as grey
LICENCE = "Adapted from elpv-dataset (Buerhop-Lutz, Deitsch et al.), CC BY-NC-SA 4.0; this picture has the same licence"


def chosen(detector: Detector, split: Path) -> list[tuple[Sample, str]]:
    """The test cells at the ranks of `SHOWN`, each with what it is and what the detector says of it."""
    samples = read_layout(split, split="test")
    found = list(detector.predict(samples, maps=False))
    picked = []
    for defective, rank in SHOWN:
        alike = [i for i, sample in enumerate(samples) if bool(sample.label) == defective]
        alike.sort(key=lambda i: found[i].score)
        cell = alike[round(rank * (len(alike) - 1))]
        picked.append((samples[cell], caption(defective, found[cell].is_anomalous)))
    return picked


def caption(defective: bool, flagged: bool) -> str:
    """What a cell is, and what was said of it."""
    if defective:
        return f"defective cell: {'found' if flagged else 'missed'}"
    return f"good cell: {'false alarm' if flagged else 'passed'}"


def heat_maps(detector: Path, images: list[Path], folder: Path) -> list[Path]:
    """What `daad predict --pictures` draws of each image."""
    for image in images:
        run(["predict", str(detector), str(image), "--output", str(folder / "cell.csv"), "--pictures", str(folder)])
    return [folder / f"{image.stem}_overlay.png" for image in images]


def drawn(columns: list[tuple[str, Path, Path]]) -> Image.Image:
    """A column a cell: its caption, the image, and the heat map over it."""
    picture = Image.new("RGB", (len(columns) * (SIDE + GAP) - GAP, LINE + 2 * SIDE + GAP), PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    for column, (text, *paths) in enumerate(columns):
        left = column * (SIDE + GAP)
        pen.text((left + SIDE / 2, LINE / 2), text, INK, font, anchor="mm")
        for row, path in enumerate(paths):
            with Image.open(path) as image:
                panel = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            picture.paste(panel, (left, LINE + row * (SIDE + GAP)))
    return with_palette(picture)


def with_palette(picture: Image.Image) -> Image.Image:
    """The picture in 256 colours, which make a small file: half of them grey, half for what is coloured."""
    pixels = np.asarray(picture).reshape(-1, 3)
    coloured = pixels[np.ptp(pixels.astype(int), axis=1) > GREYISH]
    few = Image.fromarray(coloured[None]).quantize(HALF, dither=Image.Dither.NONE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([level for grey in range(1, 256, 256 // HALF) for level in [grey] * 3] + few)
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--detector", type=Path)
    given = parser.parse_args().detector
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        split = write_demo_split(folder)
        place = given or Detector.fit(split).save(folder / "detector")
        cells = chosen(Detector.load(place), split)
        images = [Path(str(sample.image)) for sample, _ in cells]
        overlays = heat_maps(place, images, folder)
        picture = drawn(list(zip([text for _, text in cells], images, overlays, strict=True)))
    about = PngInfo()
    about.add_text("Copyright", LICENCE)
    picture.save(PICTURE, optimize=True, pnginfo=about)


if __name__ == "__main__":
    main()
