"""The table of results in README.md: image AUROC beside what a user would take instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import ccd
from benchmarks.categories import CATEGORIES
from benchmarks.ladder import BASELINES
from benchmarks.pages.markdown import Row, Value, at, lines_of, mean_of, measured, number
from benchmarks.pages.verdicts import NOTHING, where_is

BEGIN, END = "<!-- begin: made by python -m benchmarks.pages -->\n", "<!-- end -->"
NAMES = {
    "screw": "screws",
    "magnetic_tile": "magnetic tiles",
    "commutator": "commutators",
    "pcb": "printed boards",
    "elpv mono": "solar cells, mono",
    "elpv poly": "solar cells, poly",
}
WEIGHTS, NONE = "ImageNet", "none"
IMAGE_AUROC = at("metrics", "image_auroc", "value")
PEERS = {
    "ganomaly": ("anomalib's GANomaly, from scratch", NONE),
    "draem": ("anomalib's DRAEM, from scratch", NONE),
    "padim-lite0 64 px": ("PaDiM on EfficientNet-Lite0, images of 64 pixels", WEIGHTS),
    "padim-lite0 224 px": ("the same, images of 224 pixels", WEIGHTS),
    "patchcore-lite0 224 px": ("nearest features of Lite0 (PatchCore-style), 224 pixels", WEIGHTS),
}


@dataclass(frozen=True)
class Line:
    """One line of the table: what it is, whose weights it needs, its runs, and where its AUROC stands."""

    name: str
    weights: str
    rows: Sequence[Row]
    value: Value

    def cells(self) -> list[str]:
        """Mean over the seeds in each category, the mean of these, and images a second."""
        found = [mean_of(where_is(self.rows, category=category), self.value) for category in CATEGORIES]
        known = [each for each in found if each is not None]
        mean = sum(known) / len(known) if len(known) == len(CATEGORIES) else None
        pace = mean_of(self.rows, at("images_per_second"))
        return [self.name, self.weights, *(digits(each) for each in [*found, mean]), number(pace, 0)]


def render(text: str, rows: dict[str, list[Row]]) -> str:
    """README.md with its table made anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, f"README.md has no lines {BEGIN.strip()!r} and {END!r}"
    return f"{before}{BEGIN}{table(rows)}{END}{after}"


def table(rows: dict[str, list[Row]]) -> str:
    """Models here, a trivial baseline, and the field's."""
    head = ["", "weights of others", *NAMES.values(), "mean", "images/s"]
    return lines_of(head, [line.cells() for line in lines(rows)])


def lines(rows: dict[str, list[Row]]) -> list[Line]:
    """The lines of the table."""
    ladder, peers, on_features, quick = (measured(rows[name]) for name in ("ladder", "peers", "ccd", "quick"))
    padim, alone = at("test", "padim", "image_auroc", "value"), at("test", "image_auroc", "value")
    nearest = at("baselines", "pixel-knn")
    return [
        Line("**`daad`**, the default", NONE, where_is(ladder, model="daad"), IMAGE_AUROC),
        Line("**`daad+`**", NONE, where_is(ladder, model="daad+"), IMAGE_AUROC),
        Line("**`ae-skip`**", NONE, where_is(ladder, model="ae-skip"), IMAGE_AUROC),
        Line("**`padim --features random`**, 128 pixels", NONE, where_is(quick, size=128), alone),
        Line("**`padim --features lite0`**", WEIGHTS, where_is(on_features, rung=ccd.LITE0), padim),
        Line("distance to the nearest training images", NONE, where_is(ladder, model=BASELINES), nearest),
        *(Line(name, weights, where_is(peers, model=model), IMAGE_AUROC) for model, (name, weights) in PEERS.items()),
    ]


def digits(value: float | None) -> str:
    """An AUROC in two digits."""
    return NOTHING if value is None else f"{value:.2f}".replace("0.", ".", 1)
