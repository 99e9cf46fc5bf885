"""The reference: docstrings that say what is so, and pages that hold every public name, option, command and setting."""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import daad
from daad.boxes.options import BoxPlan
from daad.detector.options import FitPlan, RunOptions
from daad.models.registry import MODELS, model_class
from daad.settings import options_of

FOLDER = Path(__file__).parent.parent / "docs" / "reference"


@pytest.fixture(scope="module", autouse=True)
def _scripts_are_found() -> Any:
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The body of every page but the index, by name."""
    from build import build

    folder = tmp_path_factory.mktemp("site")
    build(folder)
    return {path.stem: path.read_text().split("<main")[-1] for path in folder.rglob("*.html")}


def text_of(page: str) -> str:
    """What a reader sees of a piece of a page, in one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())


def test_the_docstrings_of_public_names_have_no_faults() -> None:
    from docstrings import faults, public_names, sklearn_names

    assert {*public_names(), "__version__"} == set(daad.__all__)
    assert [*faults(public_names()), *faults(sklearn_names())] == []


def test_a_missing_docstring_and_an_entry_that_is_no_parameter_are_faults() -> None:
    from docstrings import faults

    def silent() -> None: ...

    def wrong(a: int, *, b: int, **rest: int) -> None:
        """Do it.

        Args:
            a: one,
                which goes on: here.
            c: not there.
            **rest: others.

        Raises:
            ValueError: never.
        """

    wrong.__module__ = silent.__module__
    cls = type("Made", (), {"wrong": wrong, "__doc__": "A class.", "__module__": "daad.made"})
    expected = ["silent has no docstring", "Made.wrong: Args explains 'c', which is no parameter"]
    assert list(faults({"silent": silent, "Made": cls})) == expected


def test_every_public_name_has_its_place(site: dict[str, str]) -> None:
    missing = [name for name in daad.__all__ if f'id="{name}"' not in site["daad"] and name != "__version__"]
    assert missing == []
    assert 'id="Detector.predict"' in site["daad"], "what a class inherits stands with it"
    assert 'id="AnomalyDetector"' in site["sklearn"]


@pytest.mark.parametrize(("owner", "plan"), [("Detector", FitPlan), ("BoxDetector", BoxPlan)])
def test_fit_shows_every_option_with_its_default_and_description(site: dict[str, str], owner: str, plan: Any) -> None:
    text = text_of(site["daad"].split(f'<div id="{owner}.fit"')[1].split("<div id=")[0])
    signature, _, arguments = text.partition("Arguments:")
    for name, field in {**options_of(plan), **options_of(RunOptions)}.items():
        assert re.search(rf"\b{name}: [^:]+ = {field.default!r}", signature), name
        assert f"{name}: {field.description}. Default: {field.default!r}.".replace("`", "") in arguments


def test_the_command_line_and_all_settings_have_a_page(site: dict[str, str]) -> None:
    for verb in ("fit", "audit", "predict", "search", "evaluate", "boxes fit", "boxes propose", "models", "info"):
        assert f'id="daad-{verb.replace(" ", "-")}"' in site["command_line"]
    assert "--false-alarm-rate FLOAT" in site["command_line"]
    for name in MODELS:
        section = site["settings"].split(f">Model {name}</h2>")[1].split("</h2>")[0]
        shown = {text_of(row).split()[0] for row in section.split("<tr>")[2:]}
        known = {key for key, field in model_class(name).Config.model_fields.items() if not field.is_required()}
        assert shown == known - {"feature_settings"}
