"""What the docs tell a reader to type works: every command and every Python block is run, with a training cut short."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daad.boxes.scod import SCOD
from daad.cli import run
from daad.features.registry import FEATURES, features_class
from daad.models.registry import MODELS, model_class
from daad.presets import Preset
from tests.boxes.conftest import write_data
from tests.images import save_png, spotted, striped

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    lines = "\n".join(blocks(page, "sh")).splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("daad ")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the photos that the docs speak of, and presets that train for three steps."""
    torch.set_num_threads(1)
    for cls in map(model_class, MODELS):
        monkeypatch.setattr(cls, "presets", {"small": Preset(64, {**cut_short(cls), "size": "nano"})})
    for cls in map(features_class, FEATURES):
        monkeypatch.setattr(cls, "presets", {"small": Preset(cls.presets["small"].image_size, cut_short(cls))})
    good, new = striped(16, 64, 64, 1), striped(4, 64, 64, 1, seed=1)
    for index, image in enumerate(good):
        save_png(tmp_path / "photos" / "good" / f"{index}.png", image)
    for folder, scene in (("quiet", striped(1, 320, 320, 1)), ("new", striped(1, 160, 160, 1, seed=1))):
        save_png(tmp_path / "scenes" / folder / "scene.png", scene[0])
    odd = spotted(striped(8, 64, 64, 1, seed=2))[0]
    for folder, images in (("new", np.concatenate([new, odd])), ("labelled/good", new), ("labelled/spot", odd)):
        for index, image in enumerate(images):
            save_png(tmp_path / "photos" / folder / f"{index}.png", image)
    monkeypatch.setattr(SCOD, "presets", {"small": Preset(64, {"size": "nano", "steps": 3})})
    for part, seeds in (("train", range(12)), ("test", range(100, 106))):
        write_data(tmp_path / "labelled", part, seeds)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cut_short(cls: Any) -> dict[str, Any]:
    """The settings of preset `small`, but for three steps."""
    settings = cls.presets["small"].settings
    return {name: 3 if name.endswith("steps") else value for name, value in settings.items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_work_in_its_order(page: Path, place: Path) -> None:
    for arguments in commands(page):
        assert run(arguments) == 0, arguments


def test_the_readme_shows_every_verb() -> None:
    verbs = {arguments[0] for arguments in commands(ROOT / "README.md")}
    assert verbs >= {"audit", "fit", "predict", "evaluate", "search", "boxes", "models", "info"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = "steps=2000"
    names = {"images": np.stack(list(striped(12, 64, 64, 1)))}
    for code in blocks(page, "python"):
        exec(compile(code.replace(cut, "steps=3"), page.name, "exec"), names)


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        place = page.parent / target if target else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
