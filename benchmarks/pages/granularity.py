"""The paper's central claim: the division rate against what can be rebuilt, normal and anomalous."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from benchmarks import sweep
from benchmarks.pages.markdown import Row, at, conditions, failures, lines_of, mean_of, measured, number

RATES = sweep.AXES["division rate r"]
GRANULARITY = """## Granularity

The claim: finer division rebuilds normal and abnormal input better, coarser both worse, and the gap between the two
peaks in the middle. DAAD at 64 pixels, blocks of 64/r x 64/r image pixels at every scale (no finer than a map's own
pixels), everything else equal. Errors are squared, in units of 10⁻⁴: *normal*, the mean over the pixels of good test
images; *anomalous*, over the pixels that the masks cover, each image alike; the gap is their difference. The score
that is read beside them: the whole image's mean error, as in the paper, and the localised one of the presets.

![Errors, gap and image AUROC against the division rate](figures/granularity.svg)
"""


def granularity_part(rows: list[Row]) -> list[str]:
    """A table a category, and what it says of the claim."""
    done = [row for row in measured(rows) if row["variant"] in RATES]
    parts = [GRANULARITY, conditions(done, len(RATES) * len(sweep.SIZES) * len(sweep.SEEDS))]
    for category in sweep.SIZES:
        mine = {name: [r for r in done if r["variant"] == name and r["category"] == category] for name in RATES}
        if any(mine.values()):
            body = [[rate_of(name), *error_cells(group), memory_text(group)] for name, group in mine.items() if group]
            parts += [f"### {category}\n", lines_of([*ERROR_HEAD, "N / D at 1/2, 1/4, 1/8, 1/16"], body)]
            parts += [verdict(category, mine)]
    return [*parts, failures(rows, sweep.SUITE.keys)]


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


def verdict(category: str, groups: dict[str, list[Row]]) -> str:
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
