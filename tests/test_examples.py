"""Every script of examples/ runs as a reader would run it, finds what it planted, and leaves nothing behind."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parent.parent / "examples"
SAYS = {  # what the output of each must hold
    "first_detector": [
        r"(?s)(good\d\d\.png: good.*){2}",
        r"(spot\d\d\.png: anomalous.*\n){3}",
        "3 of 3 spots lie under",
        "the same scores: True",
    ],
    "thresholds": [
        r"rate 20.0%: flagged [12]\d\.\d% of the good and (9\d|100)% of",
        r"rate 1.0%: flagged [0-3]\.\d% of the good and [67]\d% of",
        r"rate 0.1%: .*\n  note: 100 held-out normal images can only promise",
        r"p-value of at most 0\.2: (1\d|2\d)\.\d%",
        r"p-value is 1 / 101",
    ],
    "own_features": [
        r"a module of ours: flagged (19|20) of 20 with a spot, [0-4] of 20 good",
        r"random: flagged (19|20) of 20 with a spot, [0-5] of 20 good",
        r"filters: flagged 20 of 20 with a spot, [0-4] of 20 good",
        "without the module: this detector stands on a module of the user's own, Edges",
        "the same scores: True",
    ],
    "tiles": ["shrunk to 32 pixels: [0-3] of 6 spots", "tiles of 32 pixels: 6 of 6 spots found, [0-2] of 6 good"],
    "audit_then_fit": [
        r"(\d\. .* planted\n){4}",
        "4 of 4 planted images are among 6 suspects",
        "from the whole pool: [0-2] of 4",
        "from the 54 kept: 4 of 4",
    ],
    "search_scene": ["the first of 925 tiles shows it: True"],
    "boxes": [r"hole at .*; found: hole at", r"mAP50 (0\.[89]\d|1\.00) on 20", r"mAP50 0\.[01]\d for the mean box"],
    "sklearn_pipeline": ["5 of 5 planted images are among the 5 outliers", "5 of 5 new images with a spot"],
    "camera_loop": ["frame 9: stop", "stopped at 6 of 6 spots, [0-3] false alarms"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder; a script of examples/ finds images.py beside it."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.delitem(sys.modules, "images", raising=False)
    return tmp_path


@pytest.mark.parametrize("name", list(SAYS))
def test_an_example_finds_what_it_planted(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    said = capsys.readouterr().out
    for expected in SAYS[name]:
        assert re.search(expected, said), f"no line like {expected!r} in:\n{said}"
    assert list(folder.iterdir()) == []


def test_every_example_is_run_here_and_listed_in_the_readme() -> None:
    scripts = {path.stem for path in EXAMPLES.glob("*.py")} - {"images"}
    assert scripts == set(SAYS)
    listed = re.findall(r"^\| \[(\w+)\.py\]\(\1\.py\) \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(scripts)
