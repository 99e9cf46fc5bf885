"""docs/appendix/one_class.md: one class against nine, beside the published figures."""

from __future__ import annotations

from benchmarks import one_class
from benchmarks.ladder import BASELINES
from benchmarks.pages.markdown import MADE, Row, at, conditions, failures, lines_of, measured, table
from benchmarks.pages.verdicts import Verdict, above, mean_where, opening, short, verdict

PAGE = "one_class"
PAPERS, PRESETS = "The paper's score", "The preset's score"
HEAD = f"""# One class against nine

{MADE}"""
PUBLISHED_ONE_CLASS = {"mnist": {"memae": 0.975, "daad+": 0.990}, "cifar10": {"memae": 0.609, "daad+": 0.753}}


def render(rows: list[Row]) -> str:
    """Mean over the ten classes beside the paper's figures."""
    done = measured(rows)
    if not done:
        return "\n".join([HEAD, "Not measured yet.\n", failures(rows, one_class.SUITE.keys)])
    about = (one_class.__doc__ or "").split("\n\n")[-1].strip()
    parts = [
        HEAD,
        opening(verdicts(rows), PAGE),
        conditions(done, len(one_class.JOBS)),
        f"{about} Mean image AUROC of the ten classes, with the spread between them.\n",
    ]
    for title, reading in ((PAPERS, "paper's"), (PRESETS, "preset's")):
        flat = [flattened(row, name, value) for row in done for name, value in columns_of(row, reading)]
        parts += [f"## {title}\n", table(flat, one_class.DATASETS, at("auroc"), across="dataset")]
    body = [[m, *(f"{PUBLISHED_ONE_CLASS[d][m]:.3f}" for d in PUBLISHED_ONE_CLASS)] for m in ("memae", "daad+")]
    parts += ["## As published\n", lines_of(["model", *PUBLISHED_ONE_CLASS], body)]
    return "\n".join([*parts, failures(rows, one_class.SUITE.keys)])


def verdicts(rows: list[Row]) -> list[Verdict]:
    """DAAD+ against MemAE, by the paper's score."""
    done = measured(rows)
    pairs = [
        [mean_where(done, at("image_auroc", "paper's"), dataset=dataset, model=model) for model in ("daad+", "memae")]
        for dataset in PUBLISHED_ONE_CLASS
    ]
    figure = "; ".join(f"{short(plus)} against {short(memae)}" for plus, memae in pairs)
    return [
        verdict(
            "**DAAD** DAAD+ is ahead of MemAE, one class against nine",
            [above(*pair) for pair in pairs],
            f"AUROC on digits and photographs: {figure}",
            PAGE,
            PAPERS,
        )
    ]


def columns_of(row: Row, reading: str) -> list[tuple[str, float]]:
    """(name, AUROC): one for a model, one each for the baselines."""
    if row["model"] == BASELINES:
        return [(f"*{name}*", value) for name, value in row["image_auroc"].items()]
    return [(row["model"], row["image_auroc"][reading])]


def flattened(row: Row, name: str, value: float) -> Row:
    """A row with one AUROC."""
    return {"dataset": row["dataset"], "normal": row["normal"], "seed": row["seed"], "model": name, "auroc": value}
