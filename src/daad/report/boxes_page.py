"""The files of an evaluation of a detector of boxes: metrics.json, boxes.json and index.html."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from daad.data.box_set import BoxSample
from daad.data.coco import CocoBox, CocoImage, write_coco
from daad.data.decode import decode
from daad.data.generated_files import BOXES, mark
from daad.errors import ImageError
from daad.metrics.box_quality import Boxes
from daad.report import tables
from daad.report.box_drawing import Box, draw_boxes
from daad.report.cases import PAGE_BYTES, data_uri
from daad.report.page import render
from daad.scoring.heat import RGB, display_rgb

if TYPE_CHECKING:
    from daad.boxes.detector import BoxDetector
    from daad.boxes.evaluation import BoxEvaluation

MAX_IMAGES = 24
LONG_SIDE = 640


@dataclass(frozen=True, slots=True)
class BoxFigure:
    """An image of the page as a data URI, with the numbers of its drawn detections and of its labelled boxes."""

    name: str
    image: str
    detections: int
    labelled: int


def write_boxes(detector: BoxDetector, evaluation: BoxEvaluation, folder: Path) -> Path:
    """Write the three files to `folder` and return the path of the page."""
    mark(folder, BOXES)
    record = {
        **_without_nan(evaluation.as_dict()),
        "intervals": _without_nan({name: asdict(interval) for name, interval in evaluation.intervals.items()}),
        "threshold": detector.confidence.threshold,
        "failures": [asdict(failure) for failure in evaluation.failures],
        "notes": evaluation.notes,
        "provenance": detector.provenance,
    }
    (folder / "metrics.json").write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    images = [
        CocoImage(sample.name, sample.size, _coco(boxes, detector.classes))
        for sample, boxes in zip(evaluation.samples, evaluation.found, strict=True)
    ]
    write_coco(folder / "boxes.json", images, detector.classes)
    path = folder / "index.html"
    path.write_bytes(_page(detector, evaluation).encode("utf-8", "replace"))
    return path


def _page(detector: BoxDetector, evaluation: BoxEvaluation) -> str:
    quality, confidence = evaluation.quality, detector.confidence
    counts = np.bincount(np.concatenate([s.labels for s in evaluation.samples]), minlength=len(detector.classes))
    learnt = detector.provenance.get("boxes", {})
    classes = [
        (name, learnt.get(name, 0), int(counts[label]), _number(quality.by_class[name]))
        for label, name in enumerate(detector.classes)
    ]
    return render(
        "boxes.html.j2",
        title="Boxes found",
        headline=f"{evaluation.boxes:,} labelled boxes of {len(detector.classes)} classes in {evaluation.images:,} "
        "images that set nothing.",
        tiles=[
            _tile("mAP at IoU .5", "ap50", evaluation, f"mean box of each class {_number(evaluation.baseline.ap50)}"),
            _tile("AP at IoU .75", "ap75", evaluation, f"mean box {_number(evaluation.baseline.ap75)}"),
            _tile("mAP, IoU .5 to .95", "ap", evaluation, f"mean box {_number(evaluation.baseline.ap)}"),
            _tile("Precision", "precision", evaluation, f"from score {confidence.threshold:.3f} on, IoU .5"),
            _tile("Recall", "recall", evaluation, "at the same score"),
        ],
        classes=classes,
        sizes=[(name, _number(value)) for name, value in quality.by_size.items()],
        figures=_figures(detector, evaluation),
        notes=evaluation.notes,
        failures=evaluation.failures,
        provenance=list(tables.flat(_without_notes(detector.provenance))),
    )


def _tile(title: str, name: str, evaluation: BoxEvaluation, beneath: str) -> tuple[str, str, str]:
    interval = evaluation.intervals[name]
    if math.isnan(interval.low):
        return title, _number(interval.value), beneath
    return title, _number(interval.value), f"[{interval.low:.3f}, {interval.high:.3f}]; {beneath}"


def _figures(detector: BoxDetector, evaluation: BoxEvaluation) -> list[BoxFigure]:
    """Images at equal steps through the list, whether their boxes are right or wrong."""
    indices = np.unique(np.linspace(0, len(evaluation.samples) - 1, MAX_IMAGES).round().astype(int))
    figures = []
    for index in indices:
        sample, boxes = evaluation.samples[index], evaluation.found[index]
        detections = [
            (b, label, s) for b, label, s in _named(boxes, detector.classes) if s >= detector.confidence.threshold
        ]
        picture = _picture(sample, detections, detector)
        if picture is not None:
            image = data_uri(picture, min(200_000, PAGE_BYTES // len(indices)))
            figures.append(BoxFigure(sample.name, image, len(detections), len(sample.boxes)))
    return figures


def _picture(sample: BoxSample, detections: list[tuple[Box, str, float]], detector: BoxDetector) -> RGB | None:
    try:
        image = decode(sample.image, name=sample.name)
    except ImageError:  # the file has gone since it was judged
        return None
    shrunk = Image.fromarray(display_rgb(image))
    shrunk.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)  # before drawing, so that captions can be read
    factor = shrunk.width / image.shape[1]
    scaled = [(_scaled(box, factor), label, score) for box, label, score in detections]
    true = [_scaled(box, factor) for box in sample.boxes.tolist()]
    picture = Image.fromarray(draw_boxes(np.asarray(shrunk), scaled, detector.classes, true))
    picture.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _scaled(box: Sequence[float], factor: float) -> Box:
    left, top, right, bottom = (side * factor for side in box)
    return left, top, right, bottom


def _named(boxes: Boxes, classes: tuple[str, ...]) -> list[tuple[Box, str, float]]:
    """(box, class name, score) of each box."""
    columns = (boxes.corners.tolist(), boxes.labels.tolist(), boxes.scores.tolist())
    return [((a, b, c, d), classes[label], score) for (a, b, c, d), label, score in zip(*columns, strict=True)]


def _coco(boxes: Boxes, classes: tuple[str, ...]) -> list[CocoBox]:
    return [CocoBox(*box) for box in _named(boxes, classes)]


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _without_notes(provenance: dict[str, Any]) -> dict[str, Any]:
    """The provenance without the notes of the fit, which may be too many for the page."""
    return {key: value for key, value in provenance.items() if key != "notes"}


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
