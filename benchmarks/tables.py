"""Write the tables of docs/results.md from the committed JSON, and nothing by hand.

python -m benchmarks.tables            write
python -m benchmarks.tables --check    fail where the page is not what the JSON says
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
PAGE = ROOT.parent / "docs" / "results.md"
FOUNDATION = ROOT / "results" / "foundation.json"
DEMO = ROOT / "results" / "demo.json"
SPEED = ROOT / "results" / "speed.json"
CHOICES = ROOT / "results" / "choices.json"

Row = dict[str, Any]
Cell = Callable[[list[Row]], str]

HEAD = """# Measured results

Made by `python -m benchmarks.tables` from the JSON files under `benchmarks/results/`; nothing here is written by hand.

The five models, preset `small` as it is, on six categories. Last step, never the best on test; nothing is set or chosen
on test images. Mean of the seeds, with the standard deviation between them. Bold is the best of a column among models
and baselines, which have no seed and see the same {size}-pixel images and all training images.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    page = page_now()
    if parser.parse_args().check:
        sys.exit(0 if PAGE.read_text() == page else f"{PAGE} is stale: run python -m benchmarks.tables")
    PAGE.write_text(page)


def page_now() -> str:
    """The page that the committed JSON files make."""
    parts = (json.loads(path.read_text()) if path.is_file() else None for path in (DEMO, SPEED, CHOICES))
    return render(json.loads(FOUNDATION.read_text())["rows"], *parts)


def render(rows: list[Row], demo: Row | None = None, speed: Row | None = None, choices: Row | None = None) -> str:
    """The whole page."""
    measured = [row for row in rows if "error" not in row and row["model"] != "baselines"]
    categories = list(dict.fromkeys(row["category"] for row in rows))
    parts = [
        HEAD.format(size=64),
        "## Image AUROC, the preset's score (maximum of the smoothed error map)\n",
        auroc_table(rows, categories, "max"),
        "## Image AUROC, the paper's score (mean squared error of the whole image), same weights\n",
        auroc_table(rows, categories, "mean"),
        "## AUPRO (limit 0.3), at the images' own resolution\n",
        table(measured, categories, metric("aupro_0.3")),
        "## Pixel AUROC\n",
        table(measured, categories, metric("pixel_auroc")),
        "## At the threshold: share of good test images flagged (asked for: 0.05)\n",
        table(measured, categories, metric("false_alarm_rate"), best=None),
        "## At the threshold: share of defective test images found\n",
        table(measured, categories, metric("detection_rate")),
        "## Training time in seconds, one thread\n",
        table(measured, categories, lambda row: row["train_seconds"], digits=0, best=min),
        "## Images a second when scoring, one thread\n",
        table(measured, categories, lambda row: row["images_per_second"], digits=0),
        "## Training losses at the last step (weighted), mean over categories and seeds\n",
        loss_table(measured),
        demo_part(demo) if demo else "",
        speed_part(speed) if speed else "",
        choices_part(choices) if choices else "",
        failures_part(rows),
        conditions(measured),
    ]
    return "\n".join(part for part in parts if part)


def metric(name: str) -> Callable[[Row], float | None]:
    return lambda row: row["metrics"].get(name, {}).get("value")


def auroc_table(rows: list[Row], categories: Sequence[str], reduction: str) -> str:
    measured = [row for row in rows if "error" not in row and row["model"] != "baselines"]
    baselines = [
        {"category": row["category"], "model": f"*{name}*", "seed": 0, "image_auroc_by_reduction": {reduction: value}}
        for row in rows
        if "baselines" in row
        for name, value in row["baselines"].items()
    ]
    return table([*measured, *baselines], categories, lambda row: row["image_auroc_by_reduction"][reduction])


def table(
    rows: list[Row],
    categories: Sequence[str],
    value: Callable[[Row], float | None],
    *,
    digits: int = 3,
    best: Callable[..., float] | None = max,
) -> str:
    """Models down, categories across, and their mean where a model has all of them."""
    present = [c for c in categories if any(value(r) is not None for r in rows if r["category"] == c)]
    models = list(dict.fromkeys(row["model"] for row in rows))
    cells = {
        (model, category): [
            v for r in rows if r["model"] == model and r["category"] == category if (v := value(r)) is not None
        ]
        for model in models
        for category in present
    }
    means = {key: statistics.fmean(values) for key, values in cells.items() if values}
    for model in models:
        if all((model, category) in means for category in present):
            means[model, "mean"] = statistics.fmean(means[model, category] for category in present)
    columns = [*present, "mean"]
    top = {
        c: best(round(means[m, c], digits) for m in models if (m, c) in means)
        for c in columns
        if best and any((m, c) in means for m in models)
    }
    lines = ["| model | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for model in models:
        texts = [cell(means.get((model, c)), cells.get((model, c), []), top.get(c), digits) for c in columns]
        lines.append(f"| {model} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def cell(mean: float | None, values: list[float], top: float | None, digits: int) -> str:
    if mean is None:
        return "–"
    text = f"{mean:.{digits}f}"
    text = f"**{text}**" if round(mean, digits) == top else text
    return f"{text} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else text


def loss_table(rows: list[Row]) -> str:
    lines = ["| model | term | mean |", "|---|---|---|"]
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row["last_losses"] for row in rows if row["model"] == model]
        lines += [f"| {model} | {term} | {statistics.fmean(m[term] for m in mine):.4f} |" for term in mine[0]]
    return "\n".join(lines) + "\n"


def demo_part(demo: Row) -> str:
    auroc = demo["image_auroc"]
    return (
        f"## The demo\n\n`make demo` on {demo['provenance']['machine']}: image AUROC {auroc['value']:.3f} "
        f"[{auroc['low']:.3f}, {auroc['high']:.3f}] on {demo['counts']['good']} good and {demo['counts']['anomalous']} "
        f"defective cells, seed {demo['seed']}; {demo['seconds']} s from the first image to the report, of which "
        f"{demo['train_seconds']:.0f} s training on {demo['provenance']['threads']} threads.\n"
    )


def speed_part(speed: Row) -> str:
    """What the choices for speed are worth, as ratios of times."""

    def text(ratio: Row) -> str:
        return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"

    head = "## What the choices for speed are worth\n\nRatios of times taken in turn, median and range; one thread.\n\n"
    lines = ["| model | step in bfloat16 : float32 | step in contiguous : channels-last |", "|---|---|---|"]
    for row in speed["steps"]:
        lines.append(
            f"| {row['model']} | {text(row['bf16_to_float32'])} | {text(row['contiguous_to_channels_last'])} |"
        )
    cache = f"\nAn epoch's images from the cache : decoded again (512 x 512 PNG): {speed['cache']['median']:.4f}.\n"
    return head + "\n".join(lines) + "\n" + cache


def choices_part(choices: Row) -> str:
    """What the choices of the preset rest on."""
    rows = choices["rows"]
    categories = list(dict.fromkeys(row["category"] for row in rows))
    readings = list(dict.fromkeys(name for row in rows for name in row["auroc"]))
    lines = ["| variant | error of good | " + " | ".join(readings) + " |", "|---" * (len(readings) + 2) + "|"]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        mine = [row for row in rows if row["variant"] == variant]
        error = statistics.fmean(row["error_of_good"] for row in mine)
        cells = [
            f"{statistics.fmean(r['auroc'][name] for r in mine):.3f}" if name in mine[0]["auroc"] else "–"
            for name in readings
        ]
        lines.append(f"| {variant} | {error:.5f} | " + " | ".join(cells) + " |")
    return (
        "## What the choices of preset `small` rest on\n\nNo test image: good training images kept from training "
        f"against copies of them with synthetic defects, mean over {', '.join(categories)}; {choices['steps']} steps, "
        f"seed {choices['seed']}, commit {choices['provenance']['commit']}. Image AUROC, several readings of the same "
        "weights.\n\n" + "\n".join(lines) + "\n"
    )


def failures_part(rows: list[Row]) -> str:
    failed = [f"- {r['category']}, {r['model']}, seed {r['seed']}: {r['error']}" for r in rows if "error" in r]
    return "## Runs that failed\n\n" + "\n".join(failed) + "\n" if failed else ""


def conditions(rows: list[Row]) -> str:
    """What was used, from the rows themselves."""
    if not rows:
        return ""

    def seen(of: Callable[[Row], Any]) -> str:
        return ", ".join(sorted({str(of(row)) for row in rows}))

    return (
        "## Conditions\n\n"
        f"- machine: {seen(lambda r: r['provenance']['machine'])}; threads a run: "
        f"{seen(lambda r: r['provenance']['threads'])}, as many runs at once as cores\n"
        f"- commit: {seen(lambda r: r['provenance']['commit'])}; "
        f"torch {seen(lambda r: r['provenance']['versions']['torch'])}; "
        f"Python {seen(lambda r: r['provenance']['python'])}\n"
        f"- steps: {seen(lambda r: r['train_steps'])}; training precision: {seen(lambda r: r['precision'])}; seeds: "
        f"{seen(lambda r: r['seed'])}\n"
        f"- images (fit + held out / good + defective tested): "
        + "; ".join(sorted({f"{r['category']} {images(r)}" for r in rows}))
        + "\n- image sizes the models saw: "
        + "; ".join(sorted({f"{r['category']} {r['config']['height']} x {r['config']['width']}" for r in rows}))
        + "\n"
    )


def images(row: Row) -> str:
    counts = row["images"]
    return f"{counts['fit']} + {counts['calibration']} / {counts['good']} + {counts['anomalous']}"


if __name__ == "__main__":
    main()
