"""docs/claims.md: which claims of the DAAD paper hold here, and what the presets' choices rest on."""

from __future__ import annotations

from benchmarks.pages.choices import choices_part
from benchmarks.pages.granularity import granularity_part
from benchmarks.pages.ladder import ladder_part, paper_part, screw_part
from benchmarks.pages.markdown import Row
from benchmarks.pages.one_class import one_class_part

HEAD = """# The paper's claims, checked

Made by `python -m benchmarks.pages` from the JSON files under `benchmarks/results/`; nothing here is written by hand.
What was chosen where the paper is silent stands in [daad.md](daad.md), the figures of the models in
[results.md](results.md).
"""


def render(rows: dict[str, list[Row]]) -> str:
    """The whole page from the rows of the suites, by their names."""
    parts = [HEAD, *granularity_part(rows["sweep"]), *choices_part(rows["sweep"]), *ladder_part(rows["ladder"])]
    parts += [*screw_part(rows["screw"]), *paper_part(rows["paper_preset"])]
    classes = rows["one_class"]
    parts += one_class_part(classes) if classes else []
    return "\n".join(part for part in parts if part)
