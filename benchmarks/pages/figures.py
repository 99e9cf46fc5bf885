"""The figures of the docs, drawn from the JSON alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, StrMethodFormatter

from benchmarks import sweep
from benchmarks.pages.granularity import RATES, rate_of
from benchmarks.pages.markdown import Row, at, mean_of, measured

FOLDER = Path(__file__).parent.parent.parent / "docs" / "figures"
NORMAL, ANOMALOUS, GAP, LOCAL = "#3b7cb8", "#c2571a", "#5b5b5b", "#7a5195"
SMALLEST = 1e-9


def granularity(rows: Sequence[Row], path: Path) -> None:
    """Errors of normal and anomalous pixels, their gap, and image AUROC against the division rate; one column a
    category. Thin lines are single seeds, thick ones their mean."""
    done = [row for row in measured(rows) if row["variant"] in RATES]
    x = [float(rate_of(name).split()[0]) for name in RATES]
    with matplotlib.rc_context({"svg.hashsalt": "daad", "font.size": 9, "svg.fonttype": "path"}):
        figure = Figure(figsize=(10.5, 7.5), layout="constrained", facecolor="white")
        panels = figure.subplots(3, len(sweep.SIZES), sharex=True, squeeze=False)
        for column, category in enumerate(sweep.SIZES):
            mine = [row for row in done if row["category"] == category]
            top, middle, bottom = panels[:, column]
            top.set_title(category)
            curve(top, x, mine, ("errors", "normal"), NORMAL, "normal pixels", 1e4)
            curve(top, x, mine, ("errors", "anomalous"), ANOMALOUS, "anomalous pixels", 1e4)
            top.set_yscale("log")
            top.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            top.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 1)))
            curve(middle, x, mine, ("errors", "gap"), GAP, "gap", 1e4)
            curve(bottom, x, mine, ("image_auroc", "whole-image L2"), NORMAL, "whole-image L2")
            curve(bottom, x, mine, ("image_auroc", "localised"), LOCAL, "localised")
            bottom.axhline(0.5, color="#b0b0b0", linewidth=0.8, linestyle=(0, (3, 3)))
            bottom.set_xlabel("division rate r (fine →)")
            for panel in panels[:, column]:
                panel.set_xscale("log", base=2)
                panel.set_xticks(x, [f"{value:.0f}" for value in x])
                panel.spines[["top", "right"]].set_visible(False)
                panel.grid(color="#e6e6e6", linewidth=0.6)
        for panel, label in zip(panels[:, 0], ("squared error, 10⁻⁴", "gap, 10⁻⁴", "image AUROC"), strict=True):
            panel.set_ylabel(label)
            panel.legend(frameon=False, fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None, "Description": fingerprint(rows)})


def curve(
    panel: Any, x: list[float], rows: list[Row], path: tuple[str, str], colour: str, label: str, scale: float = 1.0
) -> None:
    """One quantity against r."""
    for seed in sorted({row["seed"] for row in rows}):
        points = {r["variant"]: at(*path)(r) for r in rows if r["seed"] == seed}
        ys = [None if points.get(name) is None else scale * (points[name] or 0) for name in RATES]
        if None not in ys:
            panel.plot(x, ys, color=colour, linewidth=0.7, alpha=0.45)
    means = [mean_of([r for r in rows if r["variant"] == name], at(*path)) for name in RATES]
    known = [(a, scale * m) for a, m in zip(x, means, strict=True) if m is not None]
    if known:
        panel.plot(*zip(*known, strict=True), color=colour, linewidth=2, marker="o", markersize=4, label=label)


def fingerprint(rows: Sequence[Row]) -> str:
    """A hash of all that the figure shows: a figure that carries another one is stale."""
    shown = [
        [row[k] for k in (*sweep.SUITE.keys, "errors", "image_auroc")]
        for row in measured(rows)
        if row["variant"] in RATES
    ]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()
