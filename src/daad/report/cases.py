"""Which images a report shows, and their pictures, small enough for one HTML file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from daad.data.decode import decode, decode_mask
from daad.data.preprocess import Preprocess, resize_map
from daad.data.sample import Failure, Sample
from daad.data.scenes import pixels_of
from daad.errors import ImageError
from daad.runtime.evaluation import mask_name
from daad.scoring.heat import RGB, Map, Mask, display_rgb, heat_map, outlined, overlay

if TYPE_CHECKING:
    from daad.runtime.evaluation import Row
    from daad.runtime.judge import Judge
    from daad.scoring.prediction import Prediction

TRUTH = (0, 220, 245)
LONG_SIDE = 512  # pixels; twice what the page shows
PAGE_BYTES = 3_300_000  # of all pictures of a page, before base64 makes them a third larger
_PANEL_BYTES = 60_000
_PANELS = 5
_JPEG_ATTEMPTS = ((1.0, 90), (1.0, 75), (0.75, 75), (0.5, 75), (0.375, 60), (0.25, 50), (0.125, 40))  # scale, quality


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture of a case as a data URI with its size in pixels; `uri` is None where there is nothing to show."""

    caption: str
    uri: str | None
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """An image of the report: its row of the evaluation, and its pictures.

    `times_threshold` is its score over the threshold; None where the threshold is not positive.
    """

    row: Row
    verdict: str
    times_threshold: float | None
    panels: list[Panel]


@dataclass(frozen=True, slots=True)
class CaseGroup:
    """Cases shown under one heading, with a sentence on how they were chosen."""

    title: str
    about: str
    rows: list[Row]
    cases: list[Case] = field(default_factory=list)


def choose_cases(rows: list[Row], cases: int) -> list[CaseGroup]:
    """The extremes of both classes and typical good images: at most `cases` rows in each group, none twice."""
    bad = sorted((row for row in rows if row.label), key=lambda row: -row.score)
    good = sorted((row for row in rows if not row.label), key=lambda row: -row.score)
    missed = bad[::-1][: min(cases, (len(bad) + 1) // 2)]
    alarms = good[: min(cases, (len(good) + 1) // 2)]
    hits = [row for row in bad[: len(bad) - len(missed)] if row.is_anomalous][:cases]
    return [
        CaseGroup("The most certain hits", "Defective images that were found, with the highest scores.", hits),
        CaseGroup("Missed or nearly missed", "Defective images with the lowest scores, the lowest first.", missed),
        CaseGroup("False alarms or nearest to it", "Good images with the highest scores, the highest first.", alarms),
        CaseGroup("Typical good", "Good images with scores nearest to the median.", _typical(good, len(alarms), cases)),
    ]


def _typical(good: list[Row], taken: int, cases: int) -> list[Row]:
    median = float(np.median([row.score for row in good])) if good else 0.0
    return sorted(good[taken:], key=lambda row: abs(row.score - median))[:cases]


def add_cases(groups: list[CaseGroup], judge: Judge, samples: list[Sample]) -> list[Failure]:
    """Judge the chosen images again, a few at a time, and put their pictures into the groups.

    Returns the images that could not be shown, and why.
    """
    by_name = {(sample.name, sample.label): sample for sample in samples}
    chosen = [(group, row) for group in groups for row in group.rows]
    absent = [row for _, row in chosen if (row.name, row.label) not in by_name]
    present = [(group, row, by_name[row.name, row.label]) for group, row in chosen if row not in absent]
    failures = [Failure(row.name, "not shown: it is not among the samples given to the report") for row in absent]
    predictions: Iterator[Prediction] = iter(())
    if present:
        predictions = judge.predict([sample for _, _, sample in present])
    for (group, row, sample), prediction in zip(present, predictions, strict=True):
        limit = min(_PANEL_BYTES, PAGE_BYTES // (len(present) * (_PANELS + len(prediction.pictures))))
        try:
            group.cases.append(_case(row, sample, prediction, judge, limit, failures))
        except ImageError as error:
            failures.append(Failure(row.name, f"not shown: {error}"))
    for group in groups:
        _drop_empty_columns(group)
    return failures


def _drop_empty_columns(group: CaseGroup) -> None:
    """Leave out a picture that no case of the group has, such as the ground truth of good images."""
    shown = {panel.caption for case in group.cases for panel in case.panels if panel.uri}
    for case in group.cases:
        case.panels[:] = [panel for panel in case.panels if panel.caption in shown]


def _case(row: Row, sample: Sample, prediction: Prediction, judge: Judge, limit: int, failures: list[Failure]) -> Case:
    if prediction.error is not None or prediction.anomaly_map is None:
        raise ImageError(prediction.error or "the detector gave no anomaly map")
    tiled = judge.preprocess.tiles is not None
    image = pixels_of(sample) if tiled else decode(sample.image, name=sample.name)
    if image.shape[:2] != prediction.anomaly_map.shape:
        raise ImageError(f"{sample.name}: the image has changed size since it was judged")
    threshold = judge.calibration.threshold
    times_threshold = row.score / threshold if threshold > 0 else None
    pictures = _pictures(image, _truth(sample, image, failures), prediction, judge)
    panels = [_panel(caption, picture, limit) for caption, picture in pictures.items()]
    return Case(row, _verdict(row), times_threshold, panels)


def _verdict(row: Row) -> str:
    if row.label:
        return "found" if row.is_anomalous else "missed"
    return "false alarm" if row.is_anomalous else "passed"


def _truth(sample: Sample, image: npt.NDArray[Any], failures: list[Failure]) -> Mask | None:
    if sample.mask is None:
        return None
    try:
        return decode_mask(sample.mask, shape=(image.shape[0], image.shape[1]), name=mask_name(sample))
    except ImageError as error:
        failures.append(Failure(sample.name, f"shown without its ground truth: {error}"))
        return None


def _pictures(
    image: npt.NDArray[Any], truth: Mask | None, prediction: Prediction, judge: Judge
) -> dict[str, RGB | None]:
    """The pictures by caption, all at the size of display, so that lines are equally thin and sharp on any image."""
    assert prediction.anomaly_map is not None
    threshold = judge.calibration.map_threshold
    shape = display_shape(image.shape[0], image.shape[1])
    picture = _resized(display_rgb(image), shape)
    values = map_at(prediction.anomaly_map, shape)
    of_model = {"reconstruction": prediction.reconstruction, **prediction.pictures}
    placed = {
        caption: None if pixels is None else _placed_in_image(pixels, image, shape, judge.preprocess)
        for caption, pixels in of_model.items()
    }
    return {
        "image": picture,
        "ground truth": None if truth is None else outlined(picture, _largest(truth, shape), TRUTH),
        **placed,
        "anomaly map": heat_map(values, threshold),
        "overlay": overlay(picture, values, threshold),
    }


def display_shape(height: int, width: int) -> tuple[int, int]:
    """(height, width) at which an image is shown: its aspect ratio, with LONG_SIDE pixels as the long side."""
    scale = LONG_SIDE / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def map_at(values: Map, shape: tuple[int, int]) -> Map:
    """A map (H, W) at another size; made smaller it keeps the largest value of each area, so that no peak is lost."""
    smaller = shape[0] < values.shape[0] or shape[1] < values.shape[1]
    return _largest(values, shape) if smaller else resize_map(values, shape)


def _largest(values: npt.NDArray[Any], shape: tuple[int, int]) -> npt.NDArray[Any]:
    """The largest value under each target pixel, or the nearest one where the target is the larger."""
    for axis in (0, 1):
        starts = np.arange(shape[axis]) * values.shape[axis] // shape[axis]
        values = np.maximum.reduceat(values, starts, axis=axis)
    return values


def _resized(picture: RGB, shape: tuple[int, int]) -> RGB:
    """Smoothed, but with visible pixels where an image is enlarged so much that smoothing would invent detail."""
    enlarged = shape[0] >= 4 * picture.shape[0]
    kernel = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
    return np.array(Image.fromarray(picture).resize((shape[1], shape[0]), kernel))


def _placed_in_image(
    pixels: npt.NDArray[Any], image: npt.NDArray[Any], shape: tuple[int, int], preprocess: Preprocess
) -> RGB:
    """A picture that the model drew, at its position in the image, with grey outside of the crop."""
    left, top, right, bottom = preprocess.crop_box(image.shape[0], image.shape[1])
    picture = np.full((*image.shape[:2], 3), 128, np.uint8)
    picture[top:bottom, left:right] = _resized(display_rgb(pixels), (bottom - top, right - left))
    return _resized(picture, shape)


def _panel(caption: str, picture: RGB | None, limit: int) -> Panel:
    if picture is None:
        return Panel(caption, None)
    return Panel(caption, data_uri(picture, limit), picture.shape[1], picture.shape[0])


def data_uri(picture: RGB, limit: int = _PANEL_BYTES) -> str:
    """A picture as a data URI: PNG where that fits into `limit` bytes, else the best JPEG that does."""
    kind, data = "png", _encoded(Image.fromarray(picture), "PNG", compress_level=4)
    for scale, quality in _JPEG_ATTEMPTS:
        if len(data) <= limit:
            break
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        kind, data = "jpeg", _encoded(Image.fromarray(picture).resize(size), "JPEG", quality=quality, subsampling=0)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _encoded(picture: Image.Image, image_format: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=image_format, **settings)
    return buffer.getvalue()
