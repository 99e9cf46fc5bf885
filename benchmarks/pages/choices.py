"""docs/appendix/choices.md: every axis of the sweep, and what held-out images and left-out categories would choose."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import sweep
from benchmarks.pages.markdown import MADE, Row, at, conditions, lines_of, mean_of, measured, number

NAMES = {**{name: name for name in sweep.VARIANTS}, sweep.DAAD: "daad (base)", sweep.PLUS: "daad+ (base)"}
HEAD = f"""# What the settings of preset `small` rest on

{MADE}
Which setting was chosen, and why: [decision 6](../decisions/0006-what-chooses-preset-small.md).

Every variant differs in one thing from a base: r = 4, r_c = 1, N = 100, temperature 0.03, all four scales, weights 50 /
0.01 / 0.01. The base is not the preset. It is where the search began.

Nothing is chosen on test images. Good images were kept from training, and copies of them got synthetic defects, drawn
at the images' own resolution (`benchmarks/synthetic.py`). `held out` is the AUROC of telling the copies from the
originals, with the localised score, mean over the categories. `test` is what the same weights reach on the test images.
It has no part in the choice. *Leave one out* chooses a category's variant by the **test** AUROC of the other
categories. Within a table every variant has the same seeds.
"""


def render(rows: list[Row]) -> str:
    """The whole page: a table an axis, with what each criterion would choose."""
    done = measured(rows)
    parts = [HEAD, conditions(done, len(sweep.SUITE.jobs))]
    for axis, variants in sweep.AXES.items():
        mine = {v: [r for r in done if r["variant"] == v] for v in variants}
        complete = [v for v, group in mine.items() if whole_seeds(group)]
        if len(complete) > 1:
            shared = set.intersection(*(whole_seeds(mine[v]) for v in complete))
            mine = {v: [r for r in mine[v] if r["seed"] in shared] for v in complete}
            body = [[NAMES[v], *choice_cells(mine[v]), str(len(shared))] for v in complete]
            parts += [f"## {axis}\n", lines_of(CHOICE_HEAD, body), chosen(mine, complete)]
    return "\n".join([*parts, *readings_part(done)])


def whole_seeds(rows: Sequence[Row]) -> set[int]:
    """The seeds that were run on every category."""
    seeds: set[int] = {row["seed"] for row in rows}
    return {seed for seed in seeds if {r["category"] for r in rows if r["seed"] == seed} >= set(sweep.SIZES)}


CHOICE_HEAD = [
    "variant",
    "normal, 10⁻⁴",
    "held-out ratio",
    "held out",
    "test",
    "test, whole-image L2",
    "seconds",
    "seeds",
]


def choice_cells(rows: Sequence[Row]) -> list[str]:
    """What a variant reaches, mean over categories and seeds."""
    return [
        number(mean_of(rows, at("errors", "normal")), 2, 1e4),
        number(mean_of(rows, at("held_out", "errors", "ratio")), 2),
        number(mean_of(rows, at("held_out", "image_auroc", "localised")), 3),
        number(mean_of(rows, at("image_auroc", "localised")), 3),
        number(mean_of(rows, at("image_auroc", "whole-image L2")), 3),
        number(mean_of(rows, at("train_seconds")), 0),
    ]


def chosen(groups: dict[str, list[Row]], names: Sequence[str]) -> str:
    """What held-out images choose, and what the other categories' test images would."""

    def best(rows_of: dict[str, list[Row]], *path: str) -> str:
        return max(names, key=lambda name: mean_of(rows_of[name], at(*path)) or 0.0)

    by_held_out = best(groups, "held_out", "image_auroc", "localised")
    left_out = []
    for category in sweep.SIZES:
        others = {name: [r for r in rows if r["category"] != category] for name, rows in groups.items()}
        choice = best(others, "image_auroc", "localised")
        here = mean_of([r for r in groups[choice] if r["category"] == category], at("image_auroc", "localised"))
        left_out.append(f"{category}: {NAMES[choice]} ({number(here, 3)})")
    return f"Held-out images choose **{NAMES[by_held_out]}**; leave one out: {'; '.join(left_out)}.\n"


def readings_part(rows: list[Row]) -> list[str]:
    """Several scores from the same weights: what an image's score is made of."""
    parts = []
    for model, readings in ((sweep.DAAD, sweep.READINGS), (sweep.PLUS, sweep.PLUS_READINGS)):
        mine = [row for row in rows if row["variant"] == model]
        paths = (("held_out", "image_auroc"), ("image_auroc",))
        body = [[name, *(number(mean_of(mine, at(*path, name)), 3) for path in paths)] for name in readings]
        if mine:
            parts += [
                f"## the score of {model}, from the same weights\n",
                lines_of(["score", "held out", "test"], body),
            ]
    return [*parts, READINGS_NOTE] if parts else []


READINGS_NOTE = """`localised`: the maximum of the smoothed error map, measured place by place in its spread over the
training images; for daad+ half of it and half of the discriminator's feature distance, each in units of its spread.
`maximum`: without the place-wise spread. `whole-image L2`: the mean squared error. `gamma`: the share of the error in
daad+'s score.
"""
