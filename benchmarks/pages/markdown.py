"""Tables in Markdown from rows of JSON: means over seeds, spreads, the best in bold."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MADE = """Made by `python -m benchmarks.pages` from the JSON files in `benchmarks/results/`; no figure is typed by hand.
"""

Row = dict[str, Any]
Value = Callable[[Row], float | None]


def lines_of(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table of ready cells."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in body]
    return "\n".join(lines + rows) + "\n"


def timed(result: Row | None, columns: Mapping[str, Callable[[Row], str]]) -> list[str]:
    """A result that one process measured by itself: where, and a line a row with these columns."""
    if result is None:
        return ["Not measured yet.\n"]
    about = result["provenance"]
    told = f"*{about['machine']}, load {about['load'][0]:.1f} besides; commit {about['commit']}.*\n"
    return [told, lines_of(list(columns), [[cell(row) for cell in columns.values()] for row in result["rows"]])]


def mebibytes(count: float) -> str:
    """2**20 bytes, whole ones."""
    return f"{count / 2**20:,.0f}"


def table(
    rows: list[Row],
    columns: Sequence[str],
    value: Value,
    *,
    down: str = "model",
    across: str = "category",
    digits: int = 3,
    best: Callable[..., float] | None = max,
) -> str:
    """One field down, another across, and the mean where a line has every column; each cell the mean of its rows."""
    present = [c for c in columns if any(value(r) is not None for r in rows if r[across] == c)]
    names = list(dict.fromkeys(row[down] for row in rows))
    cells = {
        (name, column): [v for r in rows if r[down] == name and r[across] == column if (v := value(r)) is not None]
        for name in names
        for column in present
    }
    means = {key: statistics.fmean(values) for key, values in cells.items() if values}
    for name in names:
        if present and all((name, column) in means for column in present):
            means[name, "mean"] = statistics.fmean(means[name, column] for column in present)
    shown = [*present, "mean"]
    top = {
        c: best(round(means[n, c], digits) for n in names if (n, c) in means)
        for c in shown
        if best and any((n, c) in means for n in names)
    }

    def line(name: str) -> list[str]:
        return [cell(means.get((name, c)), cells.get((name, c), []), top.get(c), digits) for c in shown]

    return lines_of([down, *shown], [[name, *line(name)] for name in names])


def cell(mean: float | None, values: list[float], top: float | None, digits: int) -> str:
    """Mean, and the standard deviation between seeds where there are several; bold if it is the column's best."""
    if mean is None:
        return "–"
    text = f"{mean:.{digits}f}"
    text = f"**{text}**" if round(mean, digits) == top else text
    return f"{text} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else text


def mean_of(rows: Sequence[Row], value: Value) -> float | None:
    """The mean over the rows that have the value."""
    found = [v for row in rows if (v := value(row)) is not None]
    return statistics.fmean(found) if found else None


def number(value: float | None, digits: int, scale: float = 1.0) -> str:
    """A number as a cell; a dash where there is none."""
    return "–" if value is None else f"{scale * value:.{digits}f}"


def at(*path: str) -> Value:
    """Reads a row by keys, one inside the other; None where one is missing."""

    def read(row: Row) -> float | None:
        found: Any = row
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    return read


def measured(rows: Sequence[Row]) -> list[Row]:
    """The rows of runs that did not fail."""
    return [row for row in rows if "error" not in row]


def failures(rows: Sequence[Row], keys: Sequence[str]) -> str:
    """What failed and why; nothing where nothing did."""
    failed = [f"- {', '.join(f'{k} {row[k]}' for k in keys)}: {row['error']}" for row in rows if "error" in row]
    return "### Runs that failed\n\n" + "\n".join(failed) + "\n" if failed else ""


def conditions(rows: Sequence[Row], total: int) -> str:
    """Machine, threads, commit, versions and seeds, from the rows themselves; how many runs there are of `total`."""
    done = measured(rows)

    def seen(of: Callable[[Row], Any], between: str = ", ") -> str:
        return between.join(sorted({str(of(row)) for row in done}))

    return (
        f"*{len(done)} of {total} runs; seeds {seen(lambda r: r['seed'])}; "
        f"{seen(lambda r: r['provenance']['machine'], ' and ')}, "
        f"{seen(lambda r: r['provenance']['threads'])} thread a run; torch "
        f"{seen(lambda r: r['provenance']['versions']['torch'])}, Python {seen(lambda r: r['provenance']['python'])}; "
        f"commit {seen(lambda r: r['provenance']['commit'])}.*\n"
    )
