"""`daad detect evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def evaluate(
    detector: Path,
    data: str,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    images: Path | None = None,
    batch_size: int = 16,
) -> int:
    """Measure a detector of boxes on labelled images; nothing is set or chosen on them.

    Parameters
    ----------
    detector
        A detector that `daad detect fit` made.
    data
        What `daad detect fit` takes: of a folder its test part (test.json, ImageSets, images/test, or the last 30 % of
        each kind of defect of an MVTec-style folder).
    output
        A folder for metrics.json, boxes.json (COCO) and index.html.
    images
        The folder of the images, where annotations in COCO or VOC form lie elsewhere.
    batch_size
        Images looked at at once.
    """
    from daad.cli.progress import ProgressBar
    from daad.detection.detector import BoxDetector
    from daad.report.boxes_page import write_boxes

    output.mkdir(parents=True, exist_ok=True)  # now, and not after all the work, it shows whether it can be written
    found = BoxDetector.load(detector)
    with ProgressBar() as progress:
        evaluation = found.evaluate(data, images=images, batch_size=batch_size, progress=progress)
    page = write_boxes(found, evaluation, output)
    quality = evaluation.quality
    rows = {"mAP50": quality.ap50, "AP75": quality.ap75, "mAP50:95": quality.ap}
    rows |= {f"mAP50:95, {name}": value for name, value in quality.by_size.items()}
    rows |= {"mAP50 of the mean box": evaluation.baseline.ap50}
    rows |= {"precision": evaluation.precision, "recall": evaluation.recall}
    for name, value in rows.items():
        print(f"{name:<22} {value:.4f}")
    for note in evaluation.notes:
        print(f"note: {note}", file=sys.stderr)
    for failure in evaluation.failures:
        print(f"left out: {failure.reason}", file=sys.stderr)
    print(f"report: {page}")
    return 1 if evaluation.failures else 0
