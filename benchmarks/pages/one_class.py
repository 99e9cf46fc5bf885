"""One class against nine, beside the published figures."""

from __future__ import annotations

from benchmarks import one_class
from benchmarks.ladder import BASELINES
from benchmarks.pages.markdown import Row, at, conditions, failures, lines_of, measured, table

PUBLISHED_ONE_CLASS = {"mnist": {"memae": 0.975, "daad+": 0.990}, "cifar10": {"memae": 0.609, "daad+": 0.753}}


def one_class_part(rows: list[Row]) -> list[str]:
    """Mean over the ten classes beside the paper's figures."""
    done = measured(rows)
    parts = [
        "## One class against nine\n",
        conditions(done, len(one_class.JOBS)),
        (one_class.__doc__ or "").split("\n\n")[-1].strip()
        + " Mean image AUROC of the ten classes, with the spread between them.\n",
    ]
    for reading in ("paper's", "preset's"):
        flat = [flattened(row, name, value) for row in done for name, value in columns_of(row, reading)]
        if flat:
            parts += [f"### The {reading} score\n", table(flat, one_class.DATASETS, at("auroc"), across="dataset")]
    body = [[m, *(f"{PUBLISHED_ONE_CLASS[d][m]:.3f}" for d in PUBLISHED_ONE_CLASS)] for m in ("memae", "daad+")]
    return [
        *parts,
        "### As published\n",
        lines_of(["model", *PUBLISHED_ONE_CLASS], body),
        failures(rows, one_class.SUITE.keys),
    ]


def columns_of(row: Row, reading: str) -> list[tuple[str, float]]:
    """(name, AUROC): one for a model, one each for the baselines."""
    if row["model"] == BASELINES:
        return [(f"*{name}*", value) for name, value in row["image_auroc"].items()]
    return [(row["model"], row["image_auroc"][reading])]


def flattened(row: Row, name: str, value: float) -> Row:
    """A row with one AUROC."""
    return {"dataset": row["dataset"], "normal": row["normal"], "seed": row["seed"], "model": name, "auroc": value}
