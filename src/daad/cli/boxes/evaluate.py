"""`daad boxes evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

WRITTEN = ("metrics.json", "boxes.json", "index.html")
MEASURES = {"ap50": "mAP50", "ap75": "AP75", "ap": "mAP50:95", "precision": "precision", "recall": "recall"}


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
        A detector that `daad boxes fit` made.
    data
        What `daad boxes fit` takes: of a folder its test part (test.json, ImageSets, images/test, or the last 30 % of
        each kind of defect of an MVTec-style folder).
    output
        A folder for metrics.json, boxes.json (COCO) and index.html.
    images
        The folder of the images, where annotations in COCO or VOC form lie elsewhere.
    batch_size
        Images looked at at once.
    """
    from daad.boxes.detector import BoxDetector
    from daad.cli.outputs import check_output, check_results, is_own_coco, tell
    from daad.cli.progress import ProgressBar
    from daad.data.generated_files import BOXES
    from daad.errors import ConfigError
    from daad.report.boxes_page import write_boxes

    box_detector = BoxDetector.load(detector)
    for name in WRITTEN:
        if output / name == Path(data):
            raise ConfigError(f"{data}: would be written over; choose another output than its folder")
    check_output(output / "boxes.json", detector, is_own_coco)
    check_results(output, BOXES, WRITTEN)
    with ProgressBar() as progress:
        evaluation = box_detector.evaluate(data, images=images, batch_size=batch_size, progress=progress)
    page = write_boxes(box_detector, evaluation, output)
    for key, name in MEASURES.items():
        interval = evaluation.intervals[key]
        print(f"{name:<22} {interval.value:.4f}  [{interval.low:.4f}, {interval.high:.4f}]")
    for size, value in evaluation.quality.by_size.items():
        print(f"{f'mAP50:95, {size}':<22} {value:.4f}")
    print(f"{'mAP50 of the mean box':<22} {evaluation.baseline.ap50:.4f}")
    tell("note", evaluation.notes)
    tell("left out", [failure.reason for failure in evaluation.failures])
    print(f"report: {page}")
    return 1 if evaluation.failures else 0
