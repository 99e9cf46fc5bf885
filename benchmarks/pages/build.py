"""From the committed JSON to the pages and figures of docs/ that hold numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import (
    audits,
    boxes,
    ccd,
    one_class,
    outliers,
    outliers_paper,
    paper_preset,
    peers,
    quick,
    scenes,
    screw,
    sweep,
    two_stages,
)
from benchmarks.ladder import LADDER
from benchmarks.pages import boxes as boxes_page
from benchmarks.pages import choices, claims, features, figures, granularity, ladder, pools, readme, results
from benchmarks.pages import one_class as one_class_page
from benchmarks.pages import scenes as scenes_page
from benchmarks.pages import two_stages as two_stages_page
from benchmarks.pages.markdown import Row
from benchmarks.suite import RESULTS, read_rows

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
SUITES = (
    LADDER,
    sweep.SUITE,
    screw.SUITE,
    one_class.SUITE,
    paper_preset.SUITE,
    peers.SUITE,
    outliers.SUITE,
    outliers_paper.SUITE,
    audits.SUITE,
    ccd.SUITE,
    quick.SUITE,
    scenes.SUITE,
    two_stages.SUITE,
    boxes.SUITE,
)
ALONE = ("demo", "speed", "huge", "large_pools")  # results of one process that measured by itself
GRANULARITY = figures.FOLDER / "granularity.svg"
Alone = dict[str, Any]


def write() -> None:
    """Every page and figure anew."""
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    figures.granularity(read_rows(sweep.SUITE.results), GRANULARITY)


def pages() -> dict[Path, str]:
    """Every page by its path, as the committed JSON makes it."""
    rows = {suite.name: read_rows(suite.results) for suite in SUITES}
    readme_path = ROOT / "README.md"
    return {
        readme_path: readme.render(readme_path.read_text(), rows),
        DOCS / "claims.md": claims.render(rows),
        **{DOCS / "appendix" / f"{name}.md": text for name, text in appendix(rows, read_alone()).items()},
    }


def appendix(rows: dict[str, list[Row]], alone: Alone) -> dict[str, str]:
    """The pages of large tables, by their names."""
    return {
        "results": results.render(rows["ladder"], rows["peers"], alone.get("demo"), alone.get("speed")),
        "granularity": granularity.render(rows["sweep"]),
        "choices": choices.render(rows["sweep"]),
        "ladder": ladder.render(rows["ladder"], rows["screw"], rows["paper_preset"]),
        "one_class": one_class_page.render(rows["one_class"]),
        "pools": pools.render(rows, alone.get("large_pools")),
        "features": features.render(rows["ccd"], rows["quick"], rows["ladder"]),
        "two_stages": two_stages_page.render(rows["two_stages"]),
        "boxes": boxes_page.render(rows["boxes"]),
        "scenes": scenes_page.render(rows["scenes"], alone.get("huge")),
    }


def read_alone() -> Alone:
    """The results of single processes, as far as they are there."""
    paths = {name: RESULTS / f"{name}.json" for name in ALONE}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.is_file()}


def stale() -> list[Path]:
    """What is not what the JSON says."""
    found = [path for path, text in pages().items() if not path.is_file() or path.read_text() != text]
    drawn = GRANULARITY.read_text() if GRANULARITY.is_file() else ""
    return found if figures.fingerprint(read_rows(sweep.SUITE.results)) in drawn else [*found, GRANULARITY]
