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
from benchmarks.pages import claims, features, figures, pools, results
from benchmarks.pages import scenes as scenes_page
from benchmarks.pages import two_stages as two_stages_page
from benchmarks.suite import RESULTS, read_rows

DOCS = Path(__file__).parent.parent.parent / "docs"
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
GRANULARITY = figures.FOLDER / "granularity.svg"


def write() -> None:
    """Every page and figure anew."""
    for path, text in pages().items():
        path.write_text(text)
    figures.granularity(read_rows(sweep.SUITE.results), GRANULARITY)


def pages() -> dict[Path, str]:
    """Every page by its path, as the committed JSON makes it."""
    rows = {suite.name: read_rows(suite.results) for suite in SUITES}
    demo, speed, huge, large = (_whole(RESULTS / f"{name}.json") for name in ("demo", "speed", "huge", "large_pools"))
    return {
        DOCS / "results.md": results.render(rows["ladder"], rows["peers"], demo, speed),
        DOCS / "claims.md": claims.render(rows),
        DOCS / "pools.md": pools.render(rows, large),
        DOCS / "features.md": features.render(rows["ccd"], rows["quick"], rows["ladder"]),
        DOCS / "two_stages.md": two_stages_page.render(rows["two_stages"]),
        DOCS / "boxes.md": boxes_page.render(rows["boxes"]),
        DOCS / "scenes.md": scenes_page.render(rows["scenes"], huge),
    }


def stale() -> list[Path]:
    """What is not what the JSON says."""
    found = [path for path, text in pages().items() if not path.is_file() or path.read_text() != text]
    drawn = GRANULARITY.read_text() if GRANULARITY.is_file() else ""
    return found if figures.fingerprint(read_rows(sweep.SUITE.results)) in drawn else [*found, GRANULARITY]


def _whole(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None
