"""docs/claims.md: every claim of the six papers that was checked, whether it held, the figure, and where it stands."""

from __future__ import annotations

from benchmarks.pages import boxes, features, granularity, ladder, one_class, pools, scenes, two_stages
from benchmarks.pages.markdown import MADE, Row
from benchmarks.pages.verdicts import RULE, Verdict, table_of

HEAD = f"""# What the papers claim, and what held here

{MADE}"""
ABOUT = """We checked at a small size: preset `small`, small images, minutes on one core, unless a GPU is named. The
papers worked with larger networks and images, and mostly with other data. So *no* says that a claim does not carry over
to this size. It does not say that the paper is wrong.

- How each system works, and what we chose where its paper is silent: [daad](daad.md), [mcod](mcod.md), [ccd](ccd.md),
  [utad](utad.md), [lunar](lunar.md), [scod](scod.md).
- What the models reach beside other libraries: [results](appendix/results.md).
- What the settings of preset `small` rest on: [choices](appendix/choices.md).
"""


def render(rows: dict[str, list[Row]]) -> str:
    """The whole page from the rows of the suites, by their names."""
    return "\n".join([HEAD, table_of(verdicts(rows)), RULE, ABOUT])


def verdicts(rows: dict[str, list[Row]]) -> list[Verdict]:
    """All six systems, in the order of a user's work."""
    return [
        *granularity.verdicts(rows["sweep"]),
        *ladder.verdicts(rows["ladder"]),
        *one_class.verdicts(rows["one_class"]),
        *pools.verdicts(rows["outliers"], rows["outliers_paper"]),
        *features.verdicts(rows["ccd"]),
        *two_stages.verdicts(rows["two_stages"]),
        *scenes.verdicts(rows["scenes"]),
        *boxes.verdicts(rows["boxes"]),
    ]
