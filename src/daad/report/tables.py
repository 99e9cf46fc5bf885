"""The tables and sentences of a report: metrics and what they mean, what was set on which images, provenance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daad.metrics.intervals import Interval

if TYPE_CHECKING:
    from daad.runtime.evaluation import Evaluation
    from daad.runtime.judge import Judge

METRICS = {
    "false_alarm_rate": ("False-alarm rate", "Share of good images flagged at the threshold in use; lower is better."),
    "detection_rate": ("Detection rate", "Share of defective images flagged at the threshold in use."),
    "image_auroc": ("Image AUROC", "How often a defective image scores higher than a good one; 0.5 is chance."),
    "image_ap": ("Image AP", "Precision averaged over all shares of defects found; chance is the share of defects."),
    "image_f1_max": ("Image F1-max", "Best F1 over all thresholds; chosen on these images, so an upper bound."),
    "image_fpr_at_95_tpr": (
        "FPR at 95 % TPR",
        "Good images flagged if 95 % of defects must be found; lower is better.",
    ),
    "pixel_auroc": ("Pixel AUROC", "The same as image AUROC for single pixels; high even for coarse maps."),
    "pixel_ap": ("Pixel AP", "Precision averaged over all shares of defective pixels found; strict for small defects."),
    "aupro_0.3": ("AUPRO 0.3", "Overlap with each defect, large or small, up to 30 % false-positive pixels."),
    "aupro_0.05": ("AUPRO 0.05", "The same up to 5 % false-positive pixels; the stricter view."),
}
NO_INTERVAL = "not available"


@dataclass(frozen=True, slots=True)
class Measure:
    """A line of a table of metrics; `value`, `low` and `high` are None where they are not available."""

    name: str
    text: str
    interval: str
    meaning: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    counts: str = ""


def headline(evaluation: Evaluation, rate: float) -> str:
    """What was measured, in plain words: false alarms among good images, detections among defective ones.

    `rate` is the false-alarm rate that was asked for.
    """
    good, bad = _flagged(evaluation, 0), _flagged(evaluation, 1)
    false_alarms = (
        f"Of {_images(good[1], 'good')}, {_were(good[0])} flagged "
        f"({_percent(*good)}; asked for: at most {100 * rate:.3g} %)."
        if good[1]
        else "No good image was tested, so the false-alarm rate was not measured."
    )
    detections = (
        f"Of {_images(bad[1], 'defective')}, {_were(bad[0])} found ({_percent(*bad)})."
        if bad[1]
        else "No defective image was tested, so the detection rate was not measured."
    )
    return f"{false_alarms} {detections}"


def tiles(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """The most important numbers, as (label, number, what it comes from)."""
    counted = [("good images flagged", _flagged(evaluation, 0)), ("defective images found", _flagged(evaluation, 1))]
    rates = [
        (label, _percent(count, total) if total else "–", f"{count:,} of {total:,}")
        for label, (count, total) in counted
    ]
    table = {row.name: row for row in metric_table(evaluation)}
    ranked = [table[METRICS[key][0]] for key in ("image_auroc", "aupro_0.3")]
    return rates + [(row.name, row.text, f"95 % interval {row.interval}") for row in ranked if row.value is not None]


def metric_table(evaluation: Evaluation) -> list[Measure]:
    """Every metric in a fixed order; one that is missing or NaN says why."""
    missing = Interval(math.nan, math.nan, math.nan)
    return [
        _measure(name, evaluation.metrics.get(key, missing), meaning, reason=_reason(key, evaluation.notes))
        for key, (name, meaning) in METRICS.items()
    ]


def defect_table(evaluation: Evaluation) -> list[Measure]:
    """Image AUROC of each kind of defect, the hardest first, with how many images were found."""
    table = []
    for defect, interval in sorted(evaluation.by_defect.items(), key=lambda item: _nan_last(item[1].value)):
        rows = [row for row in evaluation.rows if row.label and row.defect == defect]
        counts = f"{sum(row.is_anomalous for row in rows)} of {len(rows)}"
        table.append(_measure(defect, interval, "", counts, _reason("image_auroc", evaluation.notes)))
    return table


def usage_table(judge: Judge, evaluation: Evaluation) -> list[tuple[str, str, str, str]]:
    """Which images set what: (images, count, what they set, fingerprint)."""
    calibration, provenance = judge.calibration, judge.provenance
    fingerprints = provenance.get("data_fingerprint", {})
    tested = len(evaluation.rows)
    held_out_set = (
        f"the threshold ({calibration.threshold:.4g}), the map threshold ({calibration.map_threshold:.4g}) "
        "and every p-value"
    )
    return [
        (
            "Good images, training",
            _count(provenance.get("images", {}).get("fit")),
            "the model's weights",
            _fingerprint(fingerprints, "fit"),
        ),
        (
            "Good images, held out",
            _count(len(calibration.scores)),
            held_out_set,
            _fingerprint(fingerprints, "calibration"),
        ),
        ("Test images", _count(tested), "nothing: they were only measured", "–"),
    ]


def provenance_table(judge: Judge) -> list[tuple[str, str]]:
    """The provenance of the judge, as (fact, value)."""
    facts = judge.provenance
    training = facts.get("training", {})
    seconds = training.get("seconds")
    table = {
        "model": judge.name,
        "preset": facts.get("preset"),
        "seed": facts.get("seed"),
        "trained": facts.get("created"),
        "training time": None if seconds is None else f"{seconds:,.0f} s",
        "training steps": training.get("steps"),
        "precision": training.get("precision"),
        "versions": _joined(facts.get("versions", {})),
        "machine": _joined(facts.get("machine", {})),
    }
    return [(key, str(value)) for key, value in table.items() if value not in (None, "")]


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as (dotted name, value) lines."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", f"{value:.6g}" if isinstance(value, float) else str(value)


def _measure(name: str, interval: Interval, meaning: str, counts: str = "", reason: str = "") -> Measure:
    if math.isnan(interval.value):
        return Measure(name, "not available", reason, meaning, counts=counts)
    text = f"{interval.value:.3f}"
    # Equal bounds do not mean certainty: with all or none flagged every resample is equal, however few the images.
    if not math.isfinite(interval.low) or not math.isfinite(interval.high) or interval.low == interval.high:
        return Measure(name, text, NO_INTERVAL, meaning, interval.value, counts=counts)
    bounds = f"{interval.low:.3f} to {interval.high:.3f}"
    return Measure(name, text, bounds, meaning, interval.value, interval.low, interval.high, counts)


def _reason(key: str, notes: list[str]) -> str:
    of_pixels = not key.startswith("image") and "rate" not in key
    relevant = [note for note in notes if ("pixel" in note) == of_pixels] or notes
    return "; ".join(relevant) or "these test images cannot give it"


def _flagged(evaluation: Evaluation, label: int) -> tuple[int, int]:
    rows = [row for row in evaluation.rows if row.label == label]
    return sum(row.is_anomalous for row in rows), len(rows)


def _images(count: int, kind: str) -> str:
    return f"{count:,} {kind} {'image' if count == 1 else 'images'}"


def _were(count: int) -> str:
    return f"{count:,} {'was' if count == 1 else 'were'}"


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %"


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _count(value: Any) -> str:
    return "not recorded" if value is None else f"{value:,}"


def _fingerprint(fingerprints: Mapping[str, Any], split: str) -> str:
    return str(fingerprints.get(split) or "not recorded")


def _joined(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items())
