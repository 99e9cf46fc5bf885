"""The files of an evaluation: metrics.json, predictions.csv and index.html."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from daad.data.generated_files import EVALUATION, mark
from daad.metrics.intervals import Interval
from daad.report.report import write_report
from daad.runtime.evaluation import Evaluation, Row, labelled
from daad.runtime.judge import Judge


def write_results(judge: Judge, evaluation: Evaluation, data: Any, folder: Path) -> Path:
    """Write the three files and return the path of the page.

    Args:
        judge: what was evaluated.
        evaluation: what was measured.
        data: the labelled images that were evaluated, as `Judge.evaluate` takes them.
        folder: where the files go.
    """
    mark(folder, EVALUATION)
    metrics = json.dumps(metrics_record(judge, evaluation), indent=2, allow_nan=False)
    (folder / "metrics.json").write_text(metrics + "\n", encoding="utf-8")
    _write_rows(folder / "predictions.csv", evaluation, judge.calibration.threshold)
    return write_report(judge, evaluation, labelled(data), folder)


def metrics_record(judge: Judge, evaluation: Evaluation) -> dict[str, Any]:
    """Every metric as {value, low, high, level}, null where the data cannot give it; then what it was measured on."""
    return {
        **{name: _interval(interval) for name, interval in evaluation.metrics.items()},
        "by_defect": {name: _interval(interval) for name, interval in evaluation.by_defect.items()},
        "counts": evaluation.counts,
        "threshold": judge.calibration.threshold,
        "asked_false_alarm_rate": judge.calibration.false_alarm_rate,
        "failures": [asdict(failure) for failure in evaluation.failures],
        "notes": evaluation.notes,
        "model": judge.name,
        "provenance": judge.provenance,
    }


def _write_rows(path: Path, evaluation: Evaluation, threshold: float) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow([*(field.name for field in fields(Row)), "threshold", "error"])
        reasons = {failure.name: failure.reason for failure in evaluation.failures}
        for row in evaluation.rows:
            writer.writerow([*asdict(row).values(), threshold, reasons.pop(row.name, "")])
        for name, reason in reasons.items():
            writer.writerow([name, *[""] * (len(fields(Row)) - 1), threshold, reason])


def _interval(interval: Interval) -> dict[str, float | None]:
    values = {name: getattr(interval, name) for name in ("value", "low", "high", "level")}
    return {name: None if math.isnan(value) else value for name, value in values.items()}
