"""`daad predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from daad.data.sample import Sample


def predict(
    detector: Path,
    data: str,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    pictures: Path | None = None,
    false_alarm_rate: float | None = None,
    tile: Annotated[list[int] | None, Parameter(consume_multiple=True, negative=())] = None,
    overlap: float = 0.25,
    batch_size: int = 16,
    workers: int = 2,
) -> int:
    """Judge new images.

    Parameters
    ----------
    detector
        A detector that `daad fit` made.
    data
        An image, a folder, or a CSV or Parquet manifest.
    output
        Table of results: a file ending in .csv, .jsonl or .parquet. Default: CSV on stdout.
    pictures
        A folder for a heat map and a contour overlay of every image.
    false_alarm_rate
        Decide at this rate instead of the detector's own; nothing is trained again.
    tile
        Judge by tiles of this side (or height and width), in pixels of the images, each as the whole images that the
        detector learnt from: for large images of more of the same. A detector that learnt tiles needs no --tile.
    overlap
        Share of its side that a tile shares with the next, with --tile.
    batch_size
        Images scored at once.
    workers
        Threads that decode images.
    """
    from daad.cli.options import side
    from daad.cli.outputs import check_output
    from daad.cli.progress import ProgressBar
    from daad.cli.tables import is_own_table, open_table
    from daad.data.decode import decode
    from daad.data.scenes import pixels_of
    from daad.detector.detector import Detector
    from daad.errors import ConfigError
    from daad.report.pictures import save_pictures
    from daad.runtime.stream import samples_of
    from daad.scoring.record import prediction_record

    judge = Detector.load(detector)
    sides = side(tile)
    if sides is not None:
        judge = judge.with_tiles(sides, overlap)
    samples = list(samples_of(data))
    if output is not None and output.resolve() in {Path(data).resolve(), *_files(samples)}:
        raise ConfigError(f"{output}: is part of DATA and would be written over; choose another output")
    if output is not None:
        check_output(output, detector, is_own_table)
    if false_alarm_rate is not None:
        judge = judge.with_false_alarm_rate(false_alarm_rate)
    failed, flagged, by_image = 0, 0, judge.preprocess.tiles is None
    with open_table(output) as table, ProgressBar() as progress:
        stream = judge.predict(samples, batch_size=batch_size, workers=workers, maps=pictures is not None)
        for done, (sample, prediction) in enumerate(zip(samples, stream, strict=True), start=1):
            table.write(prediction_record(prediction, judge.calibration.threshold))
            if prediction.error is not None:
                failed += 1
                print(f"not judged: {prediction.error}", file=sys.stderr)
            elif pictures is not None:
                image = decode(sample.image, name=sample.name) if by_image else pixels_of(sample)
                save_pictures(pictures, prediction, image, judge.calibration.map_threshold)
            flagged += bool(prediction.is_anomalous)
            if output is not None:
                progress("predict", done, len(samples))
    print(f"{len(samples) - failed} images judged, {flagged} anomalous, {failed} could not be judged", file=sys.stderr)
    return 1 if failed else 0


def _files(samples: list[Sample]) -> set[Path]:
    return {sample.image.resolve() for sample in samples if isinstance(sample.image, Path)}
