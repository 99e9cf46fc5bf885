"""The plots of a report as SVG text for inline use in HTML; the page's CSS sets the colours of text and grid."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from daad.metrics.intervals import Interval
from daad.metrics.ranking import Floats, roc_curve

GOOD, DEFECTIVE = "#3b7cb8", "#e07b27"
# Placeholders that become CSS variables, so that one plot serves light, dark and print.
INK, MUTED, LINE = "#010203", "#040506", "#070809"
_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)"}
_SIZE = (4.8, 3.7)
_MAX_BINS = 40
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "daad",
}


def roc_plot(labels: npt.ArrayLike, scores: npt.ArrayLike, threshold: float, auroc: Interval) -> str | None:
    """The ROC curve of test images with the point of the threshold in use, as SVG.

    Args:
        labels: 0 good, 1 defective (n,).
        scores: raw (n,).
        threshold: an image is flagged where its score exceeds it.
        auroc: for the legend.

    Returns:
        None where a class is missing, as there is no curve.
    """
    label_array, score_array = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    false_positive, true_positive, _ = roc_curve(label_array, score_array)
    if np.isnan(false_positive).any() or np.isnan(true_positive).any():
        return None
    flagged = score_array > threshold
    x, y = float(flagged[label_array == 0].mean()), float(flagged[label_array == 1].mean())
    with rc_context(_STYLE):
        figure, axes = _figure()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
        axes.plot(false_positive, true_positive, color=GOOD, linewidth=1.8, label=f"AUROC {interval_text(auroc)}")
        point = f"threshold in use: {100 * y:.1f} % found, {100 * x:.1f} % false alarms"
        axes.plot([x], [y], "o", color=DEFECTIVE, markersize=7, clip_on=False, linestyle="none", label=point)
        _percent(axes)
        axes.set_xlabel("good images flagged (false-positive rate)")
        axes.set_ylabel("defective images found (true-positive rate)")
        figure.legend(loc="outside upper left", ncols=1, borderaxespad=0)
        return _svg(figure, "roc")


def score_plot(labels: npt.ArrayLike, scores: npt.ArrayLike, held_out: npt.ArrayLike, threshold: float) -> str:
    """A histogram of the scores of good and defective test images with the threshold, as SVG.

    The score axis is logarithmic where all values are positive and span more than two decades.

    Args:
        labels: 0 good, 1 defective (n,).
        scores: raw (n,).
        held_out: scores of the held-out normal images that set the threshold (m,), drawn as an outline.
        threshold: drawn as a line.
    """
    label_array, score_array = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    held_out_array = np.asarray(held_out, dtype=np.float64)
    edges, logarithmic = bin_edges(np.concatenate([score_array, held_out_array, [threshold]]))
    classes = {0: ("good, test", GOOD), 1: ("defective, test", DEFECTIVE)}
    with rc_context(_STYLE):
        figure, axes = _figure()
        for label, (name, colour) in classes.items():
            of_class = score_array[label_array == label]
            counts = np.histogram(of_class, edges)[0]
            axes.stairs(counts, edges, fill=True, color=colour, alpha=0.65, label=f"{name} (n = {len(of_class)})")
        outline = f"good, held out (n = {len(held_out_array)})"
        axes.stairs(np.histogram(held_out_array, edges)[0], edges, color=INK, linewidth=1.1, label=outline)
        axes.axvline(threshold, color=INK, linewidth=1.2, linestyle=(0, (4, 2)), label=f"threshold {threshold:.4g}")
        _counts_over_scores(figure, axes, logarithmic)
        return _svg(figure, "scores")


def pool_plot(scores: npt.ArrayLike, suspects: npt.ArrayLike) -> str:
    """A histogram of the scores (n,) of a pool, the suspect ones, by the mask (n,), in another colour, as SVG."""
    score_array, suspect = np.asarray(scores, dtype=np.float64), np.asarray(suspects, dtype=bool)
    edges, logarithmic = bin_edges(score_array)
    with rc_context(_STYLE):
        figure, axes = _figure()
        for name, mask, colour in (("not suspect", ~suspect, GOOD), ("suspect", suspect, DEFECTIVE)):
            counts = np.histogram(score_array[mask], edges)[0]
            axes.stairs(counts, edges, fill=True, color=colour, alpha=0.65, label=f"{name} (n = {mask.sum()})")
        _counts_over_scores(figure, axes, logarithmic)
        return _svg(figure, "pool")


def bin_edges(values: Floats) -> tuple[Floats, bool]:
    """Edges of bins that hold all finite values (n,), and whether they are spaced for a logarithmic axis."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    bins = int(np.clip(2 * np.sqrt(finite.size), 10, _MAX_BINS))
    if low > 0 and high > 100 * low:
        return np.geomspace(low, high, bins + 1), True
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        margin = 0.5 * abs(high) or 0.5
        low, high = low - margin, high + margin
    return np.linspace(low, high, bins + 1), False


def interval_text(interval: Interval) -> str:
    """A metric in words, such as "0.953 (95 % interval 0.921 to 0.978)"; without bounds where there are none."""
    if not np.isfinite([interval.low, interval.high]).all() or interval.low == interval.high:
        return f"{interval.value:.3f}"
    return f"{interval.value:.3f} ({100 * interval.level:.0f} % interval {interval.low:.3f} to {interval.high:.3f})"


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE, layout="constrained", facecolor="none")
    return figure, figure.add_subplot()


def _counts_over_scores(figure: Figure, axes: Axes, logarithmic: bool) -> None:
    if logarithmic:
        axes.set_xscale("log")
    axes.margins(x=0.01)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_xlabel("anomaly score" + (" (logarithmic)" if logarithmic else ""))
    axes.set_ylabel("images")
    figure.legend(loc="outside upper left", ncols=2, borderaxespad=0, columnspacing=1.4)


def _percent(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)


def _svg(figure: Figure, name: str) -> str:
    """The figure as inline SVG, with ids that no other plot of the page has."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    text = buffer.getvalue()
    text = re.sub(r'.*?<svg[^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for placeholder, variable in _VARIABLES.items():
        text = text.replace(placeholder, variable)
    return text
