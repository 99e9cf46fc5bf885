"""docs/scenes.md: how far up a ranking of tiles brings what is strange, and what a search costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks import scenes
from benchmarks.pages.markdown import Row, at, conditions, failures, measured, mebibytes, table, timed

HEAD = """# Scenes: the strange tile

Made by `python -m benchmarks.pages` from the JSON files under `benchmarks/results/`; nothing here is written by hand.
"""
PHOTOGRAPHS = """## A foreign disc in a photograph

The tiles (32 pixels) of the left half of a photograph are learnt. A disc 14 pixels across, cut from another photograph,
is pasted at a random place of the right half, 48 times, and the tiles of the right half are ranked each time. Chance:
.5 ranked above, an improvement factor of about 5 (its mean over random ranks, not 1, for with one tile to find
average precision is 1 / rank), .05 in the top 5 %. *lunar released* has the released constants, L1 and lambda 4, at the
small size. *error alone* and *code alone* are the two parts of lunar's score; *overlap 0.5* ranks tiles at half steps,
each tile taking the highest of its neighbours.
"""
STRIPS = """## True defects on strips

The tiles of good training images are learnt at full resolution; the tiles of all test images are ranked together, and
those that touch a mask are to be found. Chance: an improvement factor of 1, .5 ranked above. *per scene* ranks by the
distance from the median tile of the same image.
"""
HUGE = """## What a search costs

`daad search` with lunar's preset `small`, tiles of 32 pixels that overlap by a quarter, on made-up grey scenes.
"""
COST = {
    "pixels": lambda row: f"{row['side']:,} x {row['side']:,}",
    "file MiB": lambda row: mebibytes(row["file_bytes"]),
    "tiles": lambda row: f"{row['tiles']:,}",
    "peak resident MiB": lambda row: mebibytes(row["peak_rss_bytes"]),
    "seconds": lambda row: f"{row['seconds']:,.0f}",
    "tiles a second": lambda row: f"{row['tiles'] / row['seconds']:,.0f}",
}


def render(rows: list[Row], huge: dict[str, Any] | None) -> str:
    """The whole page."""
    done = measured(rows)
    flat = [found for row in done for found in scores_of(row)]
    parts = [HEAD, conditions(rows, len(scenes.JOBS)) if done else "Not measured yet.\n"]
    parts += part(flat, scenes.PHOTOGRAPHS, PHOTOGRAPHS, ("ranked_above", "improvement_factor", "in_top_5_percent"))
    parts += part(flat, scenes.STRIPS, STRIPS, ("average_precision", "improvement_factor", "ranked_above"))
    return "\n".join([*parts, HUGE, *timed(huge, COST), failures(rows, scenes.SUITE.keys)])


TITLES = {
    "ranked_above": ("Share of other tiles ranked above (0 is best)", 3, min),
    "improvement_factor": ("Improvement factor: average precision over the share to find", 1, max),
    "in_top_5_percent": ("Found in the top 5 %", 3, max),
    "average_precision": ("Average precision", 3, max),
}


def part(flat: list[Row], sources: Sequence[str], text: str, metrics: Sequence[str]) -> list[str]:
    """A table a metric; nothing where nothing was measured."""
    chosen = [row for row in flat if row["source"] in sources]
    if not chosen:
        return []
    parts = [text]
    for metric in metrics:
        title, digits, best = TITLES[metric]
        shown = table(chosen, sources, at(metric), down="ranking", across="source", digits=digits, best=best)
        parts += [f"### {title}\n", shown]
    first = table(chosen, sources, at("first_detection"), down="ranking", across="source", digits=0, best=min)
    by_chance = {row["source"]: row["random_first_detection"] for row in chosen}
    told = ", ".join(f"{source} {value:.1f}" for source, value in by_chance.items())
    return [*parts, f"### First detection: place of the first tile found\n\nExpected by chance: {told}.\n", first]


def scores_of(row: Row) -> list[Row]:
    """One flat row a ranking of the run."""
    keys = {name: row[name] for name in ("source", "seed")}
    trivial = row["method"] == scenes.TRIVIAL
    return [
        {**keys, "ranking": variant if trivial else name_of(row["method"], variant), **found}
        for variant, found in row["scores"].items()
    ]


def name_of(method: str, variant: str) -> str:
    return method if variant == "score" else f"{method}, {variant.removeprefix('score, ')}"
