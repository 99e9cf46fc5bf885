"""docs/appendix/scenes.md: how far up a ranking of tiles brings what is strange, and what a search costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks import scenes
from benchmarks.pages.markdown import MADE, Row, at, conditions, failures, measured, mebibytes, table, timed
from benchmarks.pages.verdicts import NOT_MEASURED, Verdict, above, counted, mean_where, opening, short, verdict

PAGE = "scenes"
HEAD = f"""# Scenes: the strange tile

{MADE}"""
DISC, DEFECTS = "A foreign disc in a photograph", "True defects on strips"
CHANCE = 0.5  # share of other tiles ranked above
PHOTOGRAPHS = f"""## {DISC}

The tiles (32 pixels) of the left half of a photograph are learnt. A disc 14 pixels across is cut from another
photograph and pasted at a random place of the right half. This is done 48 times, and the tiles of the right half are
ranked each time. By chance .5 of the tiles are ranked above, .05 of the discs are in the top 5 %, and the improvement
factor is about 5. (It is not 1, because with one tile to find average precision is 1 / rank.) *lunar released* has the
released constants, L1 and lambda 4, at the small size. *error alone* and *code alone* are the two parts of lunar's
score. *overlap 0.5* ranks tiles at half steps; each tile takes the highest of its neighbours.
"""
STRIPS = f"""## {DEFECTS}

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
    parts = [HEAD, opening(verdicts(rows), PAGE)]
    parts += [conditions(rows, len(scenes.JOBS)) if done else "Not measured yet.\n"]
    parts += part(flat, scenes.PHOTOGRAPHS, PHOTOGRAPHS, ("ranked_above", "improvement_factor", "in_top_5_percent"))
    parts += part(flat, scenes.STRIPS, STRIPS, ("average_precision", "improvement_factor", "ranked_above"))
    return "\n".join([*parts, HUGE, *timed(huge, COST), failures(rows, scenes.SUITE.keys)])


def verdicts(rows: list[Row]) -> list[Verdict]:
    """Lunar against chance and against the variance of a tile."""
    flat = [found for row in measured(rows) for found in scores_of(row)]

    def mean(metric: str, ranking: str, *sources: str) -> float | None:
        mine = [row for row in flat if row["source"] in sources]
        return mean_where(mine, at(metric), ranking=ranking)

    above_it = {name: [mean("ranked_above", name, s) for s in scenes.PHOTOGRAPHS] for name in ("lunar", "variance")}
    on_strips = {name: [mean("average_precision", name, s) for s in scenes.STRIPS] for name in above_it}
    by_chance = [above(CHANCE, found) for found in above_it["lunar"]]
    better = [above(plain, found) for found, plain in zip(above_it["lunar"], above_it["variance"], strict=True)]
    precise = [above(found, plain) for found, plain in zip(on_strips["lunar"], on_strips["variance"], strict=True)]
    photographs = [short(mean("ranked_above", name, *scenes.PHOTOGRAPHS)) for name in above_it]
    strips = [short(mean("average_precision", name, *scenes.STRIPS)) for name in above_it]
    return [
        verdict(
            "**Lunar** A VAE of tiles ranks a strange tile far up",
            by_chance,
            f"{photographs[0]} of the other tiles stand above it; by chance {short(CHANCE)}",
            PAGE,
            DISC,
        ),
        verdict(
            "**Lunar** It does so better than the variance of a tile",
            [*better, *precise],
            f"on {counted(better)} photographs ({' and '.join(photographs)} above it), on {counted(precise)} sets of "
            f"strips (average precision {' and '.join(strips)})",
            PAGE,
            DEFECTS,
        ),
        Verdict(
            "**Lunar** It finds the landing site of Apollo 15", NOT_MEASURED, "the images are not at hand", PAGE, DISC
        ),
    ]


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
