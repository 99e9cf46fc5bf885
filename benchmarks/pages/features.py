"""docs/features.md: what each part of CCD's pre-training is worth to the detectors on it."""

from __future__ import annotations

from itertools import pairwise

from benchmarks import ccd, quick
from benchmarks.categories import CATEGORIES
from benchmarks.pages.markdown import Row, at, conditions, failures, mean_of, measured, table

HEAD = """# CCD's ladder

Made by `python -m benchmarks.pages` from the JSON files under `benchmarks/results/`; nothing here is written by hand.

Preset `small`. Every rung takes the same number of steps and shows the backbone the same number of views, 256 a step:
SimCLR two of each of 128 images, the others eight of each of 32; L_pos adds 64 patches of a sixteenth of the area. Both
detectors stand on the same backbone. Beside the ladder the backbone as it was drawn, and EfficientNet-Lite0 with its
ImageNet weights at 224 pixels, where IGD goes without its local branch (every patch would be enlarged to 224, hours a
run). Last step; nothing is chosen on test images. `held out` is measured without any: good
images kept from training against copies of them with synthetic defects.
"""
QUICK = """## Without any learning of features

PaDiM on the backbone as it was drawn, preset `small` but for the size: one pass over the good images, seconds where
training takes minutes. *daad* is the trained default at 64 pixels, from [results.md](results.md).
"""
DETECTORS = {"padim": "PaDiM", "igd": "IGD"}
LADDER = [rung for rung in ccd.RUNGS if rung != ccd.LITE0]


def render(rows: list[Row], quick_rows: list[Row], ladder: list[Row]) -> str:
    """The whole page."""
    parts = [HEAD, *ladder_part(rows), *quick_part(quick_rows, ladder)]
    return "\n".join(part for part in parts if part)


def ladder_part(rows: list[Row]) -> list[str]:
    """Each rung, by both detectors."""
    done = measured(rows)
    if not done:
        return ["Not measured yet.\n", failures(rows, ccd.SUITE.keys)]
    parts = [conditions(rows, len(ccd.JOBS))]
    ordered = [row for rung in ccd.RUNGS for row in done if row["rung"] == rung]
    for name, title in DETECTORS.items():
        parts += [f"## {title}\n"]
        for heading, path in (
            ("Image AUROC", ("test", name, "image_auroc", "value")),
            ("Pixel AUROC", ("test", name, "pixel_auroc", "value")),
            ("Image AUROC, held out", ("held_out", name)),
        ):
            if any(at(*path)(row) is not None for row in ordered):
                parts += [f"### {heading}\n", table(ordered, ccd.CATEGORIES, at(*path), down="rung")]
        parts += [steps_of(done, name)]
    return [*parts, failures(rows, ccd.SUITE.keys)]


def quick_part(rows: list[Row], ladder: list[Row]) -> list[str]:
    """PaDiM on the random backbone at each size, and the trained `daad` beside it."""
    done = measured(rows)
    if not done:
        return [QUICK, "Not measured yet.\n", failures(rows, quick.SUITE.keys)]
    named = [{**row, "model": f"padim random, {row['size']} pixels"} for row in done]
    beside = [{**row, "test": row["metrics"]} for row in measured(ladder) if row["model"] == "daad"]
    parts = [QUICK, conditions(rows, len(quick.JOBS))]
    for heading, name in (("Image AUROC", "image_auroc"), ("Pixel AUROC", "pixel_auroc")):
        value = at("test", name, "value")
        parts += [f"### {heading}, all categories\n", table([*named, *beside], list(CATEGORIES), value)]
    return [*parts, failures(rows, quick.SUITE.keys)]


def steps_of(rows: list[Row], detector: str) -> str:
    """What each rung adds to the one before, and on how many categories it does."""
    value = at("test", detector, "image_auroc", "value")
    told = []
    for lower, upper in pairwise(LADDER):
        gains = []
        for category in ccd.CATEGORIES:
            here = [[r for r in rows if r["category"] == category and r["rung"] == rung] for rung in (lower, upper)]
            before, after = (mean_of(group, value) for group in here)
            if before is not None and after is not None:
                gains.append(after - before)
        if gains:
            up = sum(gain > 0 for gain in gains)
            told.append(f"{lower} -> {upper}: {sum(gains) / len(gains):+.3f}, up on {up} of {len(gains)}")
    return "; ".join(told) + ".\n" if told else ""
