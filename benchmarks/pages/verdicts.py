"""What a page of results begins with: each claim, whether it held, the figure that says so, and where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.pages.markdown import Row, Value, lines_of, mean_of

MOSTLY = 0.9  # share of the comparisons from which a claim holds mostly
NOT_MEASURED = "not measured"
NOTHING = "–"
RULE = """*yes*: it holds in every comparison; *mostly*: in nine of ten or more; *in part*: in some; *no*: in none.
Means over all runs are compared. Nothing here says that a difference is larger than the noise between runs.
"""


@dataclass(frozen=True)
class Verdict:
    """A claim held against the measurements; `page` and `section` say which table has them."""

    claim: str
    held: str
    figure: str
    page: str
    section: str


def verdict(claim: str, comparisons: Iterable[bool | None], figure: str, page: str, section: str) -> Verdict:
    """A verdict from comparisons, of which None was not measured."""
    known = [held for held in comparisons if held is not None]
    return Verdict(claim, held(known), figure if known else NOTHING, page, section)


def held(comparisons: Sequence[bool]) -> str:
    """How far a claim holds; see `RULE`."""
    if not comparisons:
        return NOT_MEASURED
    share = sum(comparisons) / len(comparisons)
    return "yes" if share == 1 else "mostly" if share >= MOSTLY else "in part" if share > 0 else "no"


def above(one: float | None, other: float | None) -> bool | None:
    """Whether one is the larger; None where either was not measured."""
    return None if one is None or other is None else one > other


def counted(comparisons: Iterable[bool | None]) -> str:
    """Such as `2 of 3`."""
    known = [held for held in comparisons if held is not None]
    return f"{sum(known)} of {len(known)}"


def table_of(verdicts: Sequence[Verdict], page: str | None = None) -> str:
    """The table: for `page` itself, or with None for claims.md, which links to the appendix."""
    body = []
    for each in verdicts:
        anchor = f"#{slug(each.section)}"
        where = f"[below]({anchor})" if each.page == page else f"[{each.page}]({folder(page)}{each.page}.md{anchor})"
        body.append([each.claim, each.held, each.figure, where])
    return lines_of(["claim", "held?", "figure", "where"], body)


def opening(verdicts: Sequence[Verdict], page: str) -> str:
    """What an appendix page begins with."""
    return "\n".join(["## Verdict\n", table_of(verdicts, page), RULE])


def folder(page: str | None) -> str:
    """The way to the appendix."""
    return "appendix/" if page is None else ""


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def where_is(rows: Iterable[Row], **fields: object) -> list[Row]:
    """The rows that have these values."""
    return [row for row in rows if all(row.get(name) == value for name, value in fields.items())]


def mean_where(rows: Iterable[Row], value: Value, **fields: object) -> float | None:
    """The mean of a value over the rows that have these fields."""
    return mean_of(where_is(rows, **fields), value)


def short(value: float | None) -> str:
    """A share or AUROC in three digits, without the zero before the point."""
    return NOTHING if value is None else f"{value:.3f}".replace("0.", ".", 1)


def points(value: float | None) -> str:
    """A difference in points of a hundred, with its sign."""
    return NOTHING if value is None else f"{100 * value:+.1f}"
