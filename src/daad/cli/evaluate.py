"""`daad evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

WRITTEN = ("metrics.json", "predictions.csv", "index.html")


def evaluate(
    detector: Path,
    data: str,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    false_alarm_rate: float | None = None,
    batch_size: int = 16,
) -> int:
    """Measure a detector on labelled images; nothing is set or chosen on them.

    Parameters
    ----------
    detector
        A detector that `daad fit` made.
    data
        An MVTec-style folder (its test part), a folder with good/ and <defect>/, or a manifest with labels.
    output
        A folder for metrics.json, predictions.csv and index.html.
    false_alarm_rate
        Decide at this rate instead of the detector's own; nothing is trained again.
    batch_size
        Images scored at once.
    """
    from daad.cli.outputs import check_results
    from daad.cli.progress import ProgressBar
    from daad.data.generated_files import EVALUATION
    from daad.detector.detector import Detector
    from daad.report.results import write_results

    judge = Detector.load(detector)
    if false_alarm_rate is not None:
        judge = judge.with_false_alarm_rate(false_alarm_rate)
    check_results(output, EVALUATION, WRITTEN)
    with ProgressBar() as progress:
        evaluation = judge.evaluate(data, batch_size=batch_size, progress=progress)
    page = write_results(judge, evaluation, data, output)
    for name, interval in evaluation.metrics.items():
        print(f"{name:<20} {interval.value:.4f}  [{interval.low:.4f}, {interval.high:.4f}]")
    for note in evaluation.notes:
        print(f"note: {note}", file=sys.stderr)
    for failure in evaluation.failures:
        print(f"left out: {failure.reason}", file=sys.stderr)
    print(f"report: {page}")
    return 1 if evaluation.failures else 0
