"""docs/figures/plates.png: metal plates that a detector never saw, and what it says of them.

    python -m benchmarks.pages.picture   draws plates, learns the good ones with the default preset: a few minutes

The images are not photos: `benchmarks/pages/plates.py` draws them, so the picture has the licence of daad. The detector
learns from good plates alone. Of each kind of new plate, the one with the median score is shown: none is chosen by eye.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from benchmarks.pages.figures import FOLDER
from benchmarks.pages.plates import DEFECTS, plate
from daad import Detector
from daad.report.cases import map_at
from daad.scoring.heat import display_rgb, overlay
from daad.scoring.prediction import Prediction

PICTURE = FOLDER / "plates.png"
GOOD = "good"
LEARNT, JUDGED = 60, 21  # good plates to learn from; new plates of each kind
ROWS = ("image", "heat map", "what it\nshould\nlook like")
SIDE, GAP, HEAD, LEFT = 204, 8, 44, 72
INK, PAPER = (40, 40, 40), (255, 255, 255)
HALF = 128  # of the colours of a picture
GREYISH = 12  # levels between the channels of a pixel that still count as grey
SOURCE = "Images drawn by benchmarks/pages/plates.py of daad; no photos, no data set"

Pixels = npt.NDArray[np.uint8]


def judged(detector: Detector, kind: str, seed: int) -> list[tuple[Pixels, Prediction]]:
    """New plates of a kind with what the detector says of them, from the lowest score to the highest."""
    rng = np.random.default_rng(seed)
    plates = [plate(rng, None if kind == GOOD else kind) for _ in range(JUDGED)]
    return sorted(zip(plates, detector.predict(plates), strict=True), key=lambda pair: pair[1].score)


def caption(kind: str, flagged: bool) -> str:
    """What a plate is, and what was said of it."""
    if kind == GOOD:
        return f"good: {'false alarm' if flagged else 'passed'}"
    return f"{kind}: {'found' if flagged else 'missed'}"


def panels(image: Pixels, prediction: Prediction, map_threshold: float) -> list[Image.Image]:
    """The image, its heat map over it as in reports, and what the model makes of it."""
    assert prediction.anomaly_map is not None and prediction.reconstruction is not None
    shown, rebuilt = (enlarged(display_rgb(pixels)) for pixels in (image[..., None], prediction.reconstruction))
    heat = overlay(np.asarray(shown), map_at(prediction.anomaly_map, (SIDE, SIDE)), map_threshold)
    return [shown, Image.fromarray(heat), rebuilt]


def enlarged(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def drawn(columns: list[tuple[str, str, list[Image.Image]]]) -> Image.Image:
    """A column a plate: verdict, score and panels; the rows are named at the left."""
    size = (LEFT + len(columns) * (SIDE + GAP) - GAP, HEAD + len(ROWS) * (SIDE + GAP) - GAP)
    picture = Image.new("RGB", size, PAPER)
    pen, large, small = ImageDraw.Draw(picture), ImageFont.load_default(16), ImageFont.load_default(14)
    for row, name in enumerate(ROWS):
        pen.multiline_text((0, HEAD + row * (SIDE + GAP) + SIDE / 2), name, INK, small, anchor="lm")
    for column, (verdict, score, images) in enumerate(columns):
        left = LEFT + column * (SIDE + GAP)
        pen.text((left + SIDE / 2, 11), verdict, INK, large, anchor="mm")
        pen.text((left + SIDE / 2, 31), score, INK, small, anchor="mm")
        for row, image in enumerate(images):
            picture.paste(image, (left, HEAD + row * (SIDE + GAP)))
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
    rng = np.random.default_rng(0)
    detector = Detector.fit([plate(rng) for _ in range(LEARNT)])
    limits = detector.calibration
    columns, flagged = [], []
    for seed, kind in enumerate((GOOD, *DEFECTS), start=1):
        found = judged(detector, kind, seed)
        image, middle = found[JUDGED // 2]
        score = f"score {middle.score:.0f}, threshold {limits.threshold:.0f}"
        columns.append((caption(kind, middle.is_anomalous), score, panels(image, middle, limits.map_threshold)))
        flagged.append(f"{kind} {sum(prediction.is_anomalous for _, prediction in found)} of {JUDGED}")
    about = PngInfo()
    about.add_text("Source", SOURCE)
    about.add_text("Description", f"flagged: {', '.join(flagged)}")
    drawn(columns).save(PICTURE, optimize=True, pnginfo=about)
    print(f"flagged: {', '.join(flagged)}")


if __name__ == "__main__":
    main()
