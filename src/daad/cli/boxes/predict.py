"""`daad boxes predict`."""

from __future__ import annotations

import csv
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from daad.boxes.prediction import BoxPrediction
    from daad.data.sample import Sample

COLUMNS = ("name", "label", "score", "left", "top", "right", "bottom", "error")


def predict(
    detector: Path,
    data: str,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    pictures: Path | None = None,
    min_score: float | None = None,
    batch_size: int = 16,
    workers: int = 2,
) -> int:
    """Find boxes in new images.

    Parameters
    ----------
    detector
        A detector that `daad boxes fit` made.
    data
        An image, a folder, or a CSV or Parquet manifest.
    output
        A file ending in .csv (a row a box, written as they are found; an image without boxes has a row without one)
        or .json (COCO, written at the end). Default: CSV on stdout.
    pictures
        A folder for every image with its boxes drawn on it.
    min_score
        Show boxes from this score on, in [0.01, 1]. Default: the detector's own threshold.
    batch_size
        Images looked at at once; a detector of tiles takes them as they come.
    workers
        Threads that decode images; one with tiles.
    """
    from daad.boxes.detector import BoxDetector
    from daad.cli.outputs import check_output
    from daad.cli.progress import ProgressBar
    from daad.errors import ConfigError
    from daad.runtime.stream import samples_of

    if output is not None and output.suffix not in (".csv", ".json"):
        raise ConfigError(f"{output}: the ending says the format; use .csv or .json (COCO)")
    box_detector = BoxDetector.load(detector)
    samples = list(samples_of(data))
    files = {sample.image.resolve() for sample in samples if isinstance(sample.image, Path)}
    if output is not None and output.resolve() in {Path(data).resolve(), *files}:
        raise ConfigError(f"{output}: is part of DATA and would be written over; choose another output")
    if output is not None:
        check_output(output, detector, _is_own_table)
    failed, boxes = 0, 0
    predictions = box_detector.predict(samples, min_score=min_score, batch_size=batch_size, workers=workers)
    with _table(output, box_detector.classes) as write, ProgressBar() as progress:
        for done, (sample, prediction) in enumerate(zip(samples, predictions, strict=True), start=1):
            write(prediction)
            boxes += len(prediction.detections)
            if prediction.error is not None:
                failed += 1
                print(f"not judged: {prediction.error}", file=sys.stderr)
            elif pictures is not None:
                _save_picture(pictures, sample, prediction, box_detector.classes)
            if output is not None:
                progress("predict", done, len(samples))
    print(f"{len(samples) - failed} images judged, {boxes} boxes, {failed} could not be judged", file=sys.stderr)
    return 1 if failed else 0


def _save_picture(folder: Path, sample: Sample, prediction: BoxPrediction, classes: Sequence[str]) -> None:
    """Save the image with its boxes drawn on it; where it cannot be read, print a message instead."""
    from daad.data.decode import decode
    from daad.errors import ImageError
    from daad.report.box_drawing import draw_boxes
    from daad.report.pictures import save_picture

    try:
        image = decode(sample.image, name=sample.name)
    except ImageError as error:
        print(f"no picture: {error}", file=sys.stderr)
        return
    detections = [(detection.box, detection.label, detection.score) for detection in prediction.detections]
    save_picture(folder, prediction.name, "boxes", draw_boxes(image, detections, classes))


def _is_own_table(path: Path) -> bool:
    """Whether a table may be written over: one that this command wrote, or an empty file."""
    from daad.cli.outputs import is_own_coco

    with path.open("rb") as file:
        start = file.read(200)
    return not start or is_own_coco(path) or start.startswith(",".join(COLUMNS).encode())


@contextmanager
def _table(path: Path | None, classes: Sequence[str]) -> Iterator[Callable[[BoxPrediction], None]]:
    if path is not None and path.suffix == ".json":
        with _coco(path, classes) as write:
            yield write
        return
    if path is None:
        yield _csv(sys.stdout)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        yield _csv(file)


def _csv(file: Any) -> Callable[[BoxPrediction], None]:
    writer = csv.writer(file)
    writer.writerow(COLUMNS)

    def write(prediction: BoxPrediction) -> None:
        rows: list[tuple[Any, ...]] = [(d.label, d.score, *d.box, "") for d in prediction.detections]
        for row in rows or [("", "", "", "", "", "", prediction.error or "")]:
            writer.writerow([prediction.name, *row])
        file.flush()

    return write


@contextmanager
def _coco(path: Path, classes: Sequence[str]) -> Iterator[Callable[[BoxPrediction], None]]:
    from daad.data.coco import CocoBox, CocoImage, write_coco

    images: list[CocoImage] = []

    def write(prediction: BoxPrediction) -> None:
        if prediction.error is None:
            boxes = [CocoBox(d.box, d.label, d.score) for d in prediction.detections]
            images.append(CocoImage(prediction.name, prediction.size, boxes))

    try:
        yield write
    except BaseException:
        if images:  # boxes detected before an interrupt are kept
            write_coco(path, images, classes)
        raise
    write_coco(path, images, classes)
