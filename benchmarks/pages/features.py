"""docs/appendix/features.md: what each part of CCD's pre-training is worth to the detectors on it."""

from __future__ import annotations

from itertools import pairwise

from benchmarks import ccd, quick
from benchmarks.categories import CATEGORIES
from benchmarks.pages.markdown import MADE, Row, at, conditions, failures, mean_of, measured, table
from benchmarks.pages.verdicts import Verdict, above, counted, mean_where, opening, points, short, verdict

PAGE = "features"
HEAD = f"""# Features: what each part of CCD adds

{MADE}"""
ABOUT = """## What was measured

Preset `small`. Each rung of the ladder adds one part of CCD's training to the one before. All take the same number of
steps and show the network the same number of views, 256 a step. SimCLR shows two views of each of 128 images, the
others eight of each of 32. L_pos adds 64 patches of a sixteenth of the area. Both detectors stand on the same features.

Two references stand beside the ladder: *random*, the network as it was drawn, and EfficientNet-Lite0 with its ImageNet
weights at 224 pixels. There IGD goes without its local branch, which would take hours a run. Last step; nothing is
chosen on test images. `held out` is measured without any: good images kept from training against copies of them with
synthetic defects.
"""
QUICK = """## Without any learning of features

PaDiM on the network as it was drawn (`--features random`), preset `small` but for the size. It takes one pass over the
good images: seconds, where training takes minutes. *daad* is the trained default at 64 pixels, from
[results](results.md).
"""
DETECTORS = {"padim": "PaDiM", "igd": "IGD"}
LADDER = [rung for rung in ccd.RUNGS if rung != ccd.LITE0]


def render(rows: list[Row], quick_rows: list[Row], ladder: list[Row]) -> str:
    """The whole page."""
    parts = [HEAD, opening(verdicts(rows), PAGE), ABOUT, *ladder_part(rows), *quick_part(quick_rows, ladder)]
    return "\n".join(part for part in parts if part)


def verdicts(rows: list[Row]) -> list[Verdict]:
    """Whether the pre-training as a whole helps detection and localisation, and whether each of its parts does."""
    done = measured(rows)
    random, full, steps = LADDER[0], LADDER[-1], list(pairwise(LADDER[1:]))
    better = [
        above(auroc_of(done, name, full, category), auroc_of(done, name, random, category))
        for name in DETECTORS
        for category in ccd.CATEGORIES
    ]
    change = "; ".join(
        f"{title} {short(auroc_of(done, name, random))} to {short(auroc_of(done, name, full))}, on Lite0 "
        f"{short(auroc_of(done, name, ccd.LITE0))}"
        for name, title in DETECTORS.items()
    )
    gains = {
        title: [gain(auroc_of(done, name, upper), auroc_of(done, name, lower)) for lower, upper in steps]
        for name, title in DETECTORS.items()
    }
    pixels = {
        title: [auroc_of(done, name, rung, metric="pixel_auroc") for rung in (random, full)]
        for name, title in DETECTORS.items()
    }
    return [
        verdict(
            "**CCD** Features learnt by its pre-training detect better than unlearnt ones",
            better,
            f"in {counted(better)} cases; AUROC {change}",
            PAGE,
            DETECTORS["padim"],
        ),
        verdict(
            "**CCD** Distributions, augmentation class and position each add",
            [None if each is None else each > 0 for found in gains.values() for each in found],
            "points of AUROC: " + "; ".join(f"{t} {', '.join(points(e) for e in found)}" for t, found in gains.items()),
            PAGE,
            DETECTORS["igd"],
        ),
        verdict(
            "**CCD** It localises better as well",
            [above(after, before) for before, after in pixels.values()],
            "pixel AUROC: " + "; ".join(f"{t} {short(a)} to {short(b)}" for t, (a, b) in pixels.items()),
            PAGE,
            DETECTORS["padim"],
        ),
    ]


def auroc_of(
    rows: list[Row], detector: str, rung: str, category: str | None = None, metric: str = "image_auroc"
) -> float | None:
    """The mean over the seeds; without a category the mean of the categories' means, which have as many seeds."""
    fields = {"rung": rung} | ({} if category is None else {"category": category})
    return mean_where(rows, at("test", detector, metric, "value"), **fields)


def gain(after: float | None, before: float | None) -> float | None:
    """What a step adds; None where either end was not measured."""
    return None if after is None or before is None else after - before


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
    """PaDiM on random features at each size, and the trained `daad` beside it."""
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
