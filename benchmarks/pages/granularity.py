"""docs/appendix/granularity.md: the division rate of DAAD against what can be rebuilt, normal and anomalous."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from benchmarks import sweep
from benchmarks.pages.markdown import MADE, Row, at, conditions, failures, lines_of, mean_of, measured, number
from benchmarks.pages.verdicts import Verdict, counted, opening, verdict

RATES = sweep.AXES["division rate r"]
PAGE = "granularity"
SECTION = "What was measured"
L2 = "whole-image L2"  # the paper's score
HEAD = f"""# DAAD: how finely to divide

{MADE}"""
GRANULARITY = f"""## {SECTION}

DAAD at 64 pixels. At every scale the blocks cover 64/r x 64/r image pixels, but never less than one pixel of the map.
Everything else is equal. Errors are squared, in units of 10⁻⁴. *normal*: the mean over the pixels of good test images.
*anomalous*: the mean over the pixels that the masks cover, each image counted alike. The gap is their difference.
Two scores stand beside them: the mean error of the whole image, as in the paper, and the localised score of the
presets.

![Errors, gap and image AUROC against the division rate](../figures/granularity.svg)
"""


def render(rows: list[Row]) -> str:
    """The whole page."""
    done = [row for row in measured(rows) if row["variant"] in RATES]
    parts = [HEAD, opening(verdicts(rows), PAGE), GRANULARITY]
    parts += [conditions(done, len(RATES) * len(sweep.SIZES) * len(sweep.SEEDS))]
    for category in sweep.SIZES:
        mine = {name: [r for r in done if r["variant"] == name and r["category"] == category] for name in RATES}
        if any(mine.values()):
            body = [[rate_of(name), *error_cells(group), memory_text(group)] for name, group in mine.items() if group]
            parts += [f"### {category}\n", lines_of([*ERROR_HEAD, "N / D at 1/2, 1/4, 1/8, 1/16"], body)]
            parts += [reading_of(category, mine)]
    return "\n".join(part for part in [*parts, failures(rows, sweep.SUITE.keys)] if part)


def verdicts(rows: list[Row]) -> list[Verdict]:
    """What the paper says of the division rate, against every category."""
    done = [row for row in measured(rows) if row["variant"] in RATES]
    by_category = [{name: means(done, category, name) for name in RATES} for category in sweep.SIZES]
    complete = [of for of in by_category if None not in of.values()]
    steps = [b[key] < a[key] for of in complete for a, b in pairwise(of.values()) for key in ("normal", "anomalous")]
    gap, auroc = ([peak(of, key) for of in complete] for key in ("gap", "auroc"))
    middle = RATES[1:-1]
    return [
        verdict(
            "**DAAD** Finer blocks rebuild good and bad input better",
            steps,
            f"the error falls in {counted(steps)} steps",
            PAGE,
            SECTION,
        ),
        verdict(
            "**DAAD** The gap between the two errors is largest at a middle size",
            [name in middle for name in gap],
            f"largest at {listed(gap)}; sizes go from r = 1 to 32",
            PAGE,
            SECTION,
        ),
        verdict(
            "**DAAD** Detection is best at a middle size",
            [name in middle for name in auroc],
            f"image AUROC is highest at {listed(auroc)}",
            PAGE,
            SECTION,
        ),
    ]


def means(rows: Sequence[Row], category: str, variant: str) -> dict[str, float] | None:
    """Errors and the AUROC of the paper's score, means over the seeds."""
    mine = [row for row in rows if row["category"] == category and row["variant"] == variant]
    paths = {key: ("errors", key) for key in ("normal", "anomalous", "gap")} | {"auroc": ("image_auroc", L2)}
    found = {key: mean_of(mine, at(*path)) for key, path in paths.items()}
    return {key: value for key, value in found.items() if value is not None} if None not in found.values() else None


def peak(of: Mapping[str, Mapping[str, float]], key: str) -> str:
    """The variant at which a quantity is largest."""
    return max(of, key=lambda name: of[name][key])


def listed(names: Sequence[str]) -> str:
    """Such as `r = 2, 1 and 2`."""
    *first, last = [rate_of(name) for name in names] or ["–"]
    return f"r = {', '.join(first)} and {last}" if first else f"r = {last}"


ERROR_HEAD = ["r", "normal", "anomalous", "gap", "ratio", "AUROC, whole-image L2", "AUROC, localised"]


def rate_of(variant: str) -> str:
    """The division rate of a variant of the granularity axis."""
    return "4" if variant == sweep.DAAD else variant.removeprefix("r = ")


def error_cells(rows: Sequence[Row]) -> list[str]:
    """Errors in 10^-4, their ratio, and the AUROC of two scores; means over the seeds."""
    errors = [number(mean_of(rows, at("errors", name)), 2, 1e4) for name in ("normal", "anomalous", "gap")]
    aurocs = [number(mean_of(rows, at("image_auroc", name)), 3) for name in ("whole-image L2", "localised")]
    return [*errors, number(mean_of(rows, at("errors", "ratio")), 2), *aurocs]


def memory_text(rows: Sequence[Row]) -> str:
    """Items against the dimension of a block, finest scale first: what share of the space of blocks they can span."""
    return ", ".join(f"{m['items'] / m['block_dim']:.2g}" for m in rows[0]["memories"])


def reading_of(category: str, groups: dict[str, list[Row]]) -> str:
    """The claim, held against the means of one category."""
    names = [name for name, rows in groups.items() if rows]

    def mean(name: str, of: str) -> float:
        return mean_of(groups[name], at("errors", of)) or 0.0

    def falls(of: str) -> str:
        steps = [mean(b, of) < mean(a, of) for a, b in pairwise(names)]
        return f"falls in {sum(steps)} of {len(steps)} steps to a finer division"

    def highest(*path: str) -> str:
        peak = max(names, key=lambda name: mean_of(groups[name], at(*path)) or 0.0)
        end = {names[0]: "the coarse end", names[-1]: "the fine end"}
        return f"r = {rate_of(peak)} ({end.get(peak, 'in the middle')})"

    return (
        f"{category}: the normal error {falls('normal')}, the anomalous one {falls('anomalous')}; the gap is "
        f"largest at {highest('errors', 'gap')}, the ratio at {highest('errors', 'ratio')}; AUROC is highest at "
        f"{highest('image_auroc', 'whole-image L2')} by whole-image L2 and at {highest('image_auroc', 'localised')} by "
        f"the localised score.\n"
    )
