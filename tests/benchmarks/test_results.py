"""Committed results keep their schema, and the docs say what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from benchmarks.ladder import BASELINES
from benchmarks.pages import build, claims, readme, verdicts
from benchmarks.suite import RESULTS, SCHEMA, Row, Suite, read_rows

SUITES = {suite.name: suite for suite in build.SUITES}
MEASURED = {
    "ladder": {
        "image_auroc",
        "image_auroc_by_score",
        "metrics",
        "by_defect",
        "config",
        "images",
        "train_seconds",
        "train_steps",
        "precision",
        "last_losses",
        "images_per_second",
    },
    "sweep": {"image_auroc", "errors", "held_out", "memories", "config", "train_seconds", "last_losses"},
    "one_class": {"image_auroc", "images", "train_seconds", "train_steps", "last_losses"},
    "paper_preset": {
        "image_auroc",
        "metrics",
        "device",
        "train_seconds",
        "train_steps",
        "precision",
        "last_losses",
    },
    "screw": {"image_auroc", "brightness_rank_correlation", "train_seconds", "last_losses"},
    "outliers": {"scores", "images", "outliers", "train_seconds", "last_losses"},
    "outliers_paper": {
        "scores",
        "images",
        "outliers",
        "device",
        "train_seconds",
        "train_steps",
        "precision",
        "last_losses",
    },
    "audits": {"images", "mixed_in"},
    "ccd": {"test", "held_out", "train_seconds", "train_steps", "last_losses"},
    "quick": {"test"},
    "scenes": {"scores", "tiles"},
    "boxes": {
        "images",
        "boxes",
        "ap",
        "ap50",
        "ap75",
        "by_size",
        "by_class",
        "precision",
        "recall",
        "baseline",
        "notes",
        "held_out_f1",
        "parameters",
        "train_seconds",
        "train_steps",
        "last_losses",
    },
    "two_stages": {
        "fidelity",
        "leak",
        "pixel_auroc",
        "image_auroc",
        "train_seconds",
        "train_steps",
        "last_losses",
    },
    "peers": {"metrics", "by_defect", "images", "size", "budget_seconds", "train_seconds", "images_per_second"},
}
OF_BASELINES = {
    "outliers": {"scores", "images", "outliers"},
    "outliers_paper": {"scores", "images", "outliers"},
    "ladder": {"image_auroc", "baselines"},
    "one_class": {"image_auroc", "images"},
    "scenes": {"scores", "tiles"},
}
OF_SOME = {
    "peers": {"steps", "batch_size", "bank", "dimensions", "versions"},
    "outliers": {"prototype_cosine"},
    "audits": {"rankings", "audit_seconds", "daad+_image_auroc", "train_seconds"},
    "scenes": {"to_find", "tiles_learnt", "train_seconds", "last_losses"},
}
PROVENANCE = {"commit", "machine", "platform", "python", "threads", "load", "versions"}

committed = pytest.mark.parametrize("suite", [s for s in SUITES.values() if s.results.is_file()], ids=lambda s: s.name)


@committed
def test_every_committed_row_has_the_schema(suite: Suite) -> None:
    body = json.loads(suite.results.read_text())
    assert body["suite"] == suite.name and body["schema"] == SCHEMA
    for row in body["rows"]:
        keys = set(row) - set(suite.keys)
        if "error" in row:
            assert keys == {"error"} and row["error"], suite.key(row)
            continue
        trivial = BASELINES in (row.get("model"), row.get("method"))
        expected = (OF_BASELINES if trivial else MEASURED)[suite.name]
        optional = OF_SOME.get(suite.name, set())
        assert expected | {"provenance"} <= keys <= expected | {"provenance"} | optional, suite.key(row)
        assert set(row["provenance"]) == PROVENANCE and len(row["provenance"]["commit"]) >= 7


@committed
def test_every_committed_row_is_of_a_run_that_the_suite_knows_and_stands_once(suite: Suite) -> None:
    found = [suite.key(row) for row in read_rows(suite.results)]
    assert len(set(found)) == len(found)
    assert set(found) <= {suite.key(job) for job in suite.jobs}


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda s: s.name)
def test_every_run_can_be_named_on_the_command_line(suite: Suite) -> None:
    assert len({suite.key(job) for job in suite.jobs}) == len(suite.jobs)
    assert not any("," in value for job in suite.jobs for value in suite.key(job))


@committed
def test_every_figure_lies_where_it_can(suite: Suite) -> None:
    for name, value in figures(read_rows(suite.results)):
        if "auroc" in name:
            assert value is None or 0 <= value <= 1, name
        if "seconds" in name or "error" in name:
            assert value is None or value >= 0, name


def figures(value: Any, name: str = "") -> Iterator[tuple[str, float | None]]:
    """Every number inside, with the path of keys that leads to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from figures(inner, f"{name}/{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from figures(inner, name)
    elif value is None or isinstance(value, int | float):
        yield name, value


def test_no_result_lies_there_that_no_page_knows() -> None:
    assert {path.stem for path in RESULTS.glob("*.json")} <= {*SUITES, "demo", "speed", "huge", "large_pools"}


def test_the_pages_and_figures_are_what_the_json_says() -> None:
    assert build.stale() == []


def failed(suite: Suite) -> list[Row]:
    return [{**job, "error": "crashed"} for job in suite.jobs]


def test_a_page_is_made_though_every_run_failed_and_says_so() -> None:
    rows = {name: failed(suite) for name, suite in SUITES.items()}
    text = "".join(build.appendix(rows, {}).values())
    assert text.count("crashed") == sum(len(suite.jobs) for suite in SUITES.values())
    for found in claims.verdicts(rows):
        assert (found.held, found.figure != "") == (verdicts.NOT_MEASURED, True), found.claim
    assert not re.search(r"\.\d", readme.table(rows))


def test_a_claim_holds_as_far_as_its_comparisons_say() -> None:
    assert [verdicts.held(each) for each in ([True] * 3, [True] * 29 + [False], [True, False], [False])] == [
        "yes",
        "mostly",
        "in part",
        "no",
    ]
    unknown = verdicts.verdict("a claim", [None], "-.1", "page", "A section, with signs")
    assert (unknown.held, unknown.figure) == (verdicts.NOT_MEASURED, verdicts.NOTHING)
    assert "(appendix/page.md#a-section-with-signs)" in verdicts.table_of([unknown])
    assert "[below](#a-section-with-signs)" in verdicts.table_of([unknown], "page")
