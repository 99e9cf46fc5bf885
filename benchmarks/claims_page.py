"""docs/claims.md: which claims of the DAAD paper hold here, and what the presets' choices rest on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

from benchmarks import one_class, paper_preset, screw, sweep
from benchmarks.ladder import BASELINES, LADDER
from benchmarks.markdown import Row, at, cell, conditions, failures, lines_of, mean_of, measured, number, table

RATES = sweep.AXES["division rate r"]
NAMES = {**{name: name for name in sweep.VARIANTS}, sweep.DAAD: "daad (base)", sweep.PLUS: "daad+ (base)"}
# Image AUROC as the paper prints it (its tables on MVTec AD, MNIST and CIFAR-10).
PUBLISHED_SCREW = {"ae-skip": 1.000, "ae": 0.956, "memae": 0.992, "daad": 1.000, "daad+": 0.987}
PUBLISHED_MEAN = {"ae-skip": 0.736, "ae": 0.794, "memae": 0.802, "daad": 0.845, "daad+": 0.895}
PUBLISHED_ONE_CLASS = {"mnist": {"memae": 0.975, "daad+": 0.990}, "cifar10": {"memae": 0.609, "daad+": 0.753}}
LADDER_ORDER = ("ae-skip", "ae", "memae", "daad", "daad+")
SCORES = {"mean": "whole-image L2, as the paper scores", "max": "the preset's localised score"}

HEAD = """# The paper's claims, checked

Made by `python -m benchmarks.pages` from the JSON files under `benchmarks/results/`; nothing here is written by hand.
What was chosen where the paper is silent stands in [daad.md](daad.md), the figures of the models in
[results.md](results.md).
"""

GRANULARITY = """## Granularity

The claim: finer division rebuilds normal and abnormal input better, coarser both worse, and the gap between the two
peaks in the middle. DAAD at 64 pixels, blocks of 64/r x 64/r image pixels at every scale (no finer than a map's own
pixels), everything else equal. Errors are squared, in units of 10⁻⁴: *normal*, the mean over the pixels of good test
images; *anomalous*, over the pixels that the masks cover, each image alike; the gap is their difference. The score
that is read beside them: the whole image's mean error, as in the paper, and the localised one of the presets.

![Errors, gap and image AUROC against the division rate](figures/granularity.svg)
"""

CHOICES = """## What the choices of preset `small` rest on

Every variant differs in one thing from a base (r = 4, r_c = 1, N = 100, temperature 0.03, all four scales; weights 50 /
0.01 / 0.01), which is not the preset but where the search for it began. No test image: good training images that were
kept from training, against copies of them with synthetic defects drawn at the images' own resolution
(`benchmarks/synthetic.py`). `held out` is the AUROC of telling the copies from the originals with the localised score,
mean over the categories; `test` is what the same weights reach on the test images, and has no part in the choice.
*Leave one out* chooses a category's variant by the **test** AUROC of the other categories.
"""


def render(rows: dict[str, list[Row]]) -> str:
    """The whole page from the rows of the suites, by their names."""
    parts = [HEAD, *granularity_part(rows["sweep"]), *choices_part(rows["sweep"]), *ladder_part(rows["ladder"])]
    parts += [*screw_part(rows["screw"]), *paper_part(rows["paper_preset"])]
    classes = rows["one_class"]
    parts += one_class_part(classes) if classes else []
    return "\n".join(part for part in parts if part)


def granularity_part(rows: list[Row]) -> list[str]:
    """A table a category, and what it says of the claim."""
    done = [row for row in measured(rows) if row["variant"] in RATES]
    parts = [GRANULARITY, conditions(done, len(RATES) * len(sweep.SIZES) * len(sweep.SEEDS))]
    for category in sweep.SIZES:
        mine = {name: [r for r in done if r["variant"] == name and r["category"] == category] for name in RATES}
        if any(mine.values()):
            body = [[rate_of(name), *error_cells(group), memory_text(group)] for name, group in mine.items() if group]
            parts += [f"### {category}\n", lines_of([*ERROR_HEAD, "N / D at 1/2, 1/4, 1/8, 1/16"], body)]
            parts += [verdict(category, mine)]
    return [*parts, failures(rows, sweep.SUITE.keys)]


ERROR_HEAD = ["r", "normal", "anomalous", "gap", "ratio", "AUROC, whole-image L2", "AUROC, localised"]


def rate_of(variant: str) -> str:
    """The division rate of a variant of the granularity axis."""
    return "4" if variant == sweep.DAAD else variant.removeprefix("r = ")


def error_cells(rows: Sequence[Row]) -> list[str]:
    """Errors in 10^-4, their ratio, and the AUROC of two scores; means over the seeds."""
    errors = [number(mean_of(rows, at("errors", name)), 2, 1e4) for name in ("normal", "anomalous", "gap")]
    aurocs = [number(mean_of(rows, at("image_auroc", name)), 3) for name in ("whole-image L2", "localised")]
    return [*errors, number(mean_of(rows, at("errors", "ratio")), 2), *aurocs]


def memory_text(rows: Sequence[Row]) -> str:
    """Items against the dimension of a block, finest scale first: what share of the space of blocks they can span."""
    return ", ".join(f"{m['items'] / m['block_dim']:.2g}" for m in rows[0]["memories"])


def verdict(category: str, groups: dict[str, list[Row]]) -> str:
    """The claim, held against the means of one category."""
    names = [name for name, rows in groups.items() if rows]

    def mean(name: str, of: str) -> float:
        return mean_of(groups[name], at("errors", of)) or 0.0

    def falls(of: str) -> str:
        steps = [mean(b, of) < mean(a, of) for a, b in pairwise(names)]
        return f"falls in {sum(steps)} of {len(steps)} steps to a finer division"

    peaks = {of: max(names, key=lambda name: mean(name, of)) for of in ("gap", "ratio")}

    def at_peak(of: str) -> str:
        end = {names[0]: "the coarse end", names[-1]: "the fine end"}
        return f"r = {rate_of(peaks[of])} ({end.get(peaks[of], 'in the middle')})"

    return (
        f"{category}: the normal error {falls('normal')}, the anomalous one {falls('anomalous')}; "
        f"the gap is largest at {at_peak('gap')}, the ratio at {at_peak('ratio')}.\n"
    )


def choices_part(rows: list[Row]) -> list[str]:
    """A table an axis, with what each criterion would choose."""
    done = measured(rows)
    parts = [CHOICES, conditions(done, len(sweep.SUITE.jobs))]
    for axis, variants in sweep.AXES.items():
        mine = {v: [r for r in done if r["variant"] == v] for v in variants}
        complete = [v for v, group in mine.items() if {r["category"] for r in group} >= set(sweep.SIZES)]
        body = [[NAMES[v], *choice_cells(mine[v]), str(len({r["seed"] for r in mine[v]}))] for v in complete]
        if len(body) > 1:
            parts += [f"### {axis}\n", lines_of(CHOICE_HEAD, body), chosen(mine, complete)]
    return [*parts, *readings_part(done)]


CHOICE_HEAD = [
    "variant",
    "normal, 10⁻⁴",
    "held-out ratio",
    "held out",
    "test",
    "test, whole-image L2",
    "seconds",
    "seeds",
]


def choice_cells(rows: Sequence[Row]) -> list[str]:
    """What a variant reaches, mean over categories and seeds."""
    return [
        number(mean_of(rows, at("errors", "normal")), 2, 1e4),
        number(mean_of(rows, at("held_out", "errors", "ratio")), 2),
        number(mean_of(rows, at("held_out", "image_auroc", "localised")), 3),
        number(mean_of(rows, at("image_auroc", "localised")), 3),
        number(mean_of(rows, at("image_auroc", "whole-image L2")), 3),
        number(mean_of(rows, at("train_seconds")), 0),
    ]


def chosen(groups: dict[str, list[Row]], names: Sequence[str]) -> str:
    """What held-out images choose, and what the other categories' test images would."""

    def best(rows_of: dict[str, list[Row]], *path: str) -> str:
        return max(names, key=lambda name: mean_of(rows_of[name], at(*path)) or 0.0)

    by_held_out = best(groups, "held_out", "image_auroc", "localised")
    left_out = []
    for category in sweep.SIZES:
        others = {name: [r for r in rows if r["category"] != category] for name, rows in groups.items()}
        choice = best(others, "image_auroc", "localised")
        here = mean_of([r for r in groups[choice] if r["category"] == category], at("image_auroc", "localised"))
        left_out.append(f"{category}: {NAMES[choice]} ({number(here, 3)})")
    return f"Held-out images choose **{NAMES[by_held_out]}**; leave one out: {'; '.join(left_out)}.\n"


def readings_part(rows: list[Row]) -> list[str]:
    """Several scores from the same weights: what an image's score is made of."""
    parts = []
    for model, readings in ((sweep.DAAD, sweep.READINGS), (sweep.PLUS, sweep.PLUS_READINGS)):
        mine = [row for row in rows if row["variant"] == model]
        paths = (("held_out", "image_auroc"), ("image_auroc",))
        body = [[name, *(number(mean_of(mine, at(*path, name)), 3) for path in paths)] for name in readings]
        if mine:
            parts += [
                f"### the score of {model}, from the same weights\n",
                lines_of(["score", "held out", "test"], body),
            ]
    return [*parts, READINGS_NOTE] if parts else []


READINGS_NOTE = """`localised`: the maximum of the smoothed error map, measured place by place in its spread over the
training images; for daad+ half of it and half of the discriminator's feature distance, each in units of its spread.
`maximum`: without the place-wise spread. `whole-image L2`: the mean squared error. `gamma`: the share of the error in
daad+'s score.
"""


def ladder_part(rows: list[Row]) -> list[str]:
    """The order of the five systems by both scores, and screw beside the published figures."""
    models = [row for row in measured(rows) if row["model"] != BASELINES]
    categories = list(dict.fromkeys(row["category"] for row in rows))
    parts = [
        "## The ladder: AE+Skip < AE ≤ MemAE < DAAD < DAAD+\n",
        conditions(models, len(LADDER.jobs) - len(categories)),
        "The paper's order is that of its means over the 15 categories of MVTec AD.\n",
    ]
    for reduction, title in SCORES.items():
        value = at("image_auroc_by_reduction", reduction)
        ordered = sorted(models, key=lambda row: LADDER_ORDER.index(row["model"]))
        parts += [
            f"### Image AUROC by {title}\n",
            table(ordered, categories, value),
            rungs(ordered, categories, reduction),
        ]
    body = []
    for model in LADDER_ORDER:
        mine = [row for row in models if row["model"] == model]
        screw = [row for row in mine if row["category"] == "screw"]
        ours = [mean_of(group, at("image_auroc_by_reduction", r)) for group in (screw, mine) for r in SCORES]
        texts = [number(value, 3) for value in ours]
        body.append([model, f"{PUBLISHED_SCREW[model]:.3f}", *texts[:2], f"{PUBLISHED_MEAN[model]:.3f}", *texts[2:]])
    head = [
        "model",
        "paper, screw",
        "ours, L2",
        "ours, localised",
        "paper, mean of 15",
        "our mean, L2",
        "our mean, localised",
    ]
    return [
        *parts,
        "### Beside the published figures (MVTec AD, 15 categories; screw is the one that is here complete)\n",
        lines_of(head, body),
    ]


def rungs(rows: list[Row], categories: Sequence[str], reduction: str) -> str:
    """How many categories each step of the ladder holds on, by the means of the seeds."""
    value = at("image_auroc_by_reduction", reduction)

    def mean(model: str, category: str) -> float | None:
        return mean_of([r for r in rows if r["model"] == model and r["category"] == category], value)

    texts = []
    for lower, higher in pairwise(LADDER_ORDER):
        pairs = [(mean(lower, c), mean(higher, c)) for c in categories]
        gains = [b - a for a, b in pairs if a is not None and b is not None]
        if gains:
            held, average = sum(gain > 0 for gain in gains), sum(gains) / len(gains)
            texts.append(f"{lower} < {higher} on {held} of {len(gains)} (mean {average:+.3f})")
    return "; ".join(texts) + ".\n"


def screw_part(rows: list[Row]) -> list[str]:
    """Size, steps and score on screw, and how closely the paper's score follows brightness."""
    done = measured(rows)
    if not rows:
        return []
    body = []
    for setting, model in product(screw.SETTINGS, screw.MODELS):
        mine = [row for row in done if row["setting"] == setting and row["model"] == model]
        paths = [("image_auroc", name) for name in ("whole-image L2", "maximum", "preset")]
        paths += [("brightness_rank_correlation", name) for name in ("all", "good", "defective")]
        if mine:
            body.append([setting, model, *(spread(mine, path) for path in paths)])
    head = ["", "model", "AUROC, L2", "maximum", "preset's score", "L2 ~ brightness, all", "good", "defective"]
    parts = ["### Why screw comes out unlike the paper\n", conditions(done, len(screw.JOBS)) if done else ""]
    about = (screw.__doc__ or "").split("\n\n")[-1].strip() + "\n"
    return [*parts, about, lines_of(head, body), failures(rows, screw.SUITE.keys)]


def spread(rows: Sequence[Row], path: tuple[str, ...]) -> str:
    """Mean over the seeds and the standard deviation between them."""
    return cell(mean_of(rows, at(*path)), [v for row in rows if (v := at(*path)(row)) is not None], None, 3)


def paper_part(rows: list[Row]) -> list[str]:
    """Preset `paper` on a GPU; a line that says so where it was not run."""
    done = measured(rows)
    title = "## Preset `paper`: 256 pixels, 300 epochs\n"
    if not done:
        return [title, "Not measured: no GPU was at hand.\n", failures(rows, paper_preset.SUITE.keys)]
    devices = ", ".join(sorted({row["device"] for row in done}))
    parts = [title, conditions(done, len(paper_preset.JOBS)), f"On {devices}; no time is comparable with a CPU's.\n"]
    for score in ("whole-image L2", "maximum"):
        parts += [f"### Image AUROC, {score}\n", table(done, paper_preset.CATEGORIES, at("image_auroc", score))]
    parts += ["### Training time in seconds\n", table(done, paper_preset.CATEGORIES, at("train_seconds"), digits=0)]
    return [*parts, failures(rows, paper_preset.SUITE.keys)]


def one_class_part(rows: list[Row]) -> list[str]:
    """Mean over the ten classes beside the paper's figures."""
    done = measured(rows)
    parts = [
        "## One class against nine\n",
        conditions(done, len(one_class.JOBS)),
        (one_class.__doc__ or "").split("\n\n")[-1].strip()
        + " Mean image AUROC of the ten classes, with the spread between them.\n",
    ]
    for reading in ("whole-image L2", "preset"):
        flat = [flattened(row, name, value) for row in done for name, value in columns_of(row, reading)]
        if flat:
            parts += [f"### {reading}\n", table(flat, one_class.DATASETS, at("auroc"), across="dataset", digits=3)]
    body = [[m, *(f"{PUBLISHED_ONE_CLASS[d][m]:.3f}" for d in PUBLISHED_ONE_CLASS)] for m in ("memae", "daad+")]
    return [
        *parts,
        "### As published\n",
        lines_of(["model", *PUBLISHED_ONE_CLASS], body),
        failures(rows, one_class.SUITE.keys),
    ]


def columns_of(row: Row, reading: str) -> list[tuple[str, float]]:
    """(name, AUROC): one for a model, one each for the baselines."""
    if row["model"] == BASELINES:
        return [(f"*{name}*", value) for name, value in row["image_auroc"].items()]
    return [(row["model"], row["image_auroc"][reading])]


def flattened(row: Row, name: str, value: float) -> Row:
    """A row with one AUROC."""
    return {"dataset": row["dataset"], "normal": row["normal"], "seed": row["seed"], "model": name, "auroc": value}
