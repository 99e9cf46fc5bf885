"""`write_report`: an evaluation as one self-contained HTML file that opens anywhere, offline."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from daad.data.sample import Failure, Sample
from daad.errors import ConfigError
from daad.metrics.intervals import Interval
from daad.report import tables
from daad.report.cases import TRUTH, CaseGroup, add_cases, choose_cases, data_uri
from daad.report.page import render
from daad.scoring.heat import OUTLINE, SATURATION, heat_map

if TYPE_CHECKING:
    from daad.runtime.evaluation import Evaluation
    from daad.runtime.judge import Judge

MAX_LISTED = 200


def write_report(
    judge: Judge,
    evaluation: Evaluation,
    samples: list[Sample],
    folder: str | Path,
    *,
    title: str | None = None,
    cases: int = 6,
) -> Path:
    """Write `folder/index.html` and return its path.

    The file holds its pictures, needs no scripts and no network, and stays under about 5 MB.

    Args:
        judge: what was evaluated; it judges the images that are shown again.
        evaluation: what was measured.
        samples: the labelled images that were evaluated.
        folder: where the file goes; made if it is not there.
        title: None: the model's name and the number of images.
        cases: most images to show of each kind: hits, misses, false alarms and typical good images.

    Raises:
        ConfigError: `cases` is negative, or `folder` is a file.
    """
    if cases < 0:
        raise ConfigError(f"cases must be at least 0, found {cases}")
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{target}: is a file; give a folder for the report")
    groups = choose_cases(evaluation.rows, cases)
    not_shown = add_cases(groups, judge, samples)
    page = render("report.html.j2", **_content(judge, evaluation, groups, not_shown, title))
    target.mkdir(parents=True, exist_ok=True)
    path = target / "index.html"
    path.write_bytes(page.encode("utf-8", "replace"))
    return path


def _content(
    judge: Judge, evaluation: Evaluation, groups: list[CaseGroup], not_shown: list[Failure], title: str | None
) -> dict[str, Any]:
    calibration = judge.calibration
    left_out = [Failure(item["name"], item["reason"]) for item in judge.provenance.get("left_out", [])]
    return {
        "title": title or f"{judge.name} on {len(evaluation.rows):,} test images",
        "model": judge.name,
        "headline": tables.headline(evaluation, calibration.false_alarm_rate),
        "tiles": tables.tiles(evaluation),
        "metrics": tables.metric_table(evaluation),
        "defects": tables.defect_table(evaluation),
        "notes": [*evaluation.notes, *([calibration.note] if calibration.note else [])],
        **_plots(judge, evaluation),
        "groups": groups,
        "scale": _scale(calibration.map_threshold),
        "failures": {
            "Test images left out, or left out of a part of the metrics": evaluation.failures,
            "Training images left out": left_out,
            "Chosen for the pictures but not shown in full": not_shown,
        },
        "max_listed": MAX_LISTED,
        "usage": tables.usage_table(judge, evaluation),
        "provenance": tables.provenance_table(judge),
        "details": {
            "All settings of the model": list(tables.flat(judge.settings)),
            "Preprocessing": list(tables.flat(judge.preprocess.model_dump(mode="json"))),
            "Last values of the training terms": list(
                tables.flat(judge.provenance.get("training", {}).get("last_terms", {}))
            ),
        },
    }


def _plots(judge: Judge, evaluation: Evaluation) -> dict[str, Markup | None]:
    from daad.report.plots import roc_plot, score_plot  # matplotlib takes a second to import

    labels, scores = evaluation.arrays()
    calibration = judge.calibration
    auroc = evaluation.metrics.get("image_auroc", Interval(math.nan, math.nan, math.nan))
    roc = roc_plot(labels, scores, calibration.threshold, auroc)
    histogram = score_plot(labels, scores, calibration.scores, calibration.threshold)
    return {"roc": None if roc is None else Markup(roc), "histogram": Markup(histogram)}


def _scale(map_threshold: float) -> dict[str, Any]:
    """The legend: the colour scale, its ticks as (percent from the left, label, map value), and the line colours."""
    ramp = heat_map(np.linspace(0, SATURATION, 300, dtype=np.float32)[None], 1.0)
    ticks = [
        (100 * times / SATURATION, label, f"{times * map_threshold:.3g}" if map_threshold > 0 else "")
        for times, label in ((0, "0"), (1, "threshold"), (2, "2 ×"), (SATURATION, "3 × and more"))
    ]
    return {"uri": data_uri(ramp), "ticks": ticks, "outline": _hex(OUTLINE), "truth": _hex(TRUTH)}


def _hex(colour: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)
