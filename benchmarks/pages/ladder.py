"""docs/appendix/ladder.md: the order of the five models beside the published figures; why screw differs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

from benchmarks import paper_preset, screw
from benchmarks.ladder import BASELINES, LADDER
from benchmarks.pages.markdown import (
    MADE,
    Row,
    at,
    cell,
    conditions,
    failures,
    lines_of,
    mean_of,
    measured,
    number,
    table,
)
from benchmarks.pages.verdicts import Verdict, above, counted, mean_where, opening, points, short, verdict

PAGE = "ladder"
HEAD = f"""# DAAD: the order of the five models

{MADE}"""

# Image AUROC as the paper prints it (its table on MVTec AD).
PUBLISHED_SCREW = {"ae-skip": 1.000, "ae": 0.956, "memae": 0.992, "daad": 1.000, "daad+": 0.987}
PUBLISHED_MEAN = {"ae-skip": 0.736, "ae": 0.794, "memae": 0.802, "daad": 0.845, "daad+": 0.895}
LADDER_ORDER = ("ae-skip", "ae", "memae", "daad", "daad+")
PAPERS = "paper's"
SCORES = {
    PAPERS: "Image AUROC by the paper's score",
    "localised": "Image AUROC by the preset's score",
}


def render(ladder: list[Row], on_screw: list[Row], of_paper: list[Row]) -> str:
    """The whole page."""
    parts = [HEAD, opening(verdicts(ladder), PAGE), *ladder_part(ladder), *screw_part(on_screw), *paper_part(of_paper)]
    return "\n".join(part for part in parts if part)


def verdicts(rows: list[Row]) -> list[Verdict]:
    """The paper's order and gain, by its own score."""
    done = [row for row in measured(rows) if row["model"] != BASELINES]
    value = at("image_auroc_by_score", PAPERS)
    means = {model: mean_where(done, value, model=model) for model in LADDER_ORDER}
    steps = [above(means[higher], means[lower]) for lower, higher in pairwise(LADDER_ORDER)]
    plus, plain = means["daad+"], means["ae"]
    published = PUBLISHED_MEAN["daad+"] - PUBLISHED_MEAN["ae"]
    gain = None if plus is None or plain is None else plus - plain
    return [
        verdict(
            "**DAAD** AE with skips, AE, MemAE, DAAD, DAAD+: each ahead of the one before",
            steps,
            f"mean AUROC {', '.join(short(mean) for mean in means.values())}: {counted(steps)} steps",
            PAGE,
            SCORES[PAPERS],
        ),
        verdict(
            "**DAAD** DAAD+ gains much over the plain autoencoder",
            [] if gain is None else [gain >= published, gain > 0],
            f"{points(gain)} points of mean AUROC; published on other sets: {points(published)}",
            PAGE,
            SCORES[PAPERS],
        ),
    ]


def ladder_part(rows: list[Row]) -> list[str]:
    """The order of the five systems by both scores, and screw beside the published figures."""
    models = [row for row in measured(rows) if row["model"] != BASELINES]
    categories = list(dict.fromkeys(row["category"] for row in rows))
    if not models:
        return []
    parts = [
        conditions(models, len(LADDER.jobs) - len(categories)),
        "The paper's order is AE+Skip < AE ≤ MemAE < DAAD < DAAD+, by its means over the 15 categories of MVTec AD.\n"
        "Its score is the whole image's mean squared error, for DAAD+ 0.9 R + 0.1 L.\n",
    ]
    for score, title in SCORES.items():
        value = at("image_auroc_by_score", score)
        ordered = sorted(models, key=lambda row: LADDER_ORDER.index(row["model"]))
        parts += [
            f"## {title}\n",
            table(ordered, categories, value),
            rungs(ordered, categories, score),
        ]
    body = []
    for model in LADDER_ORDER:
        mine = [row for row in models if row["model"] == model]
        screw = [row for row in mine if row["category"] == "screw"]
        ours = [mean_of(group, at("image_auroc_by_score", s)) for group in (screw, mine) for s in SCORES]
        texts = [number(value, 3) for value in ours]
        body.append([model, f"{PUBLISHED_SCREW[model]:.3f}", *texts[:2], f"{PUBLISHED_MEAN[model]:.3f}", *texts[2:]])
    head = [
        "model",
        "paper, screw",
        "ours, paper's score",
        "ours, localised",
        "paper, mean of 15",
        "our mean, paper's score",
        "our mean, localised",
    ]
    return [
        *parts,
        "## Beside the published figures\n\nMVTec AD has 15 categories; screw is the one that is here complete.\n",
        lines_of(head, body),
    ]


def rungs(rows: list[Row], categories: Sequence[str], score: str) -> str:
    """How many categories each step of the ladder holds on, by the means of the seeds."""
    value = at("image_auroc_by_score", score)

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
    parts = ["## Why screw comes out unlike the paper\n", conditions(done, len(screw.JOBS)) if done else ""]
    about = (screw.__doc__ or "").split("\n\n")[-1].strip() + "\n"
    return [*parts, about, lines_of(head, body), screw_reading(done), failures(rows, screw.SUITE.keys)]


def screw_reading(rows: list[Row]) -> str:
    """What size, length and reduction are each worth, in AUROC, everything else equal."""
    small, short, long = "64 px 1000 steps", "128 px 300 steps", "128 px 1000 steps"

    def auroc(model: str, setting: str, score: str) -> float | None:
        mine = [row for row in rows if row["model"] == model and row["setting"] == setting]
        return mean_of(mine, at("image_auroc", score))

    told = []
    for model in screw.MODELS:
        first, brief, full = (auroc(model, setting, "whole-image L2") for setting in (small, short, long))
        peak = auroc(model, long, "maximum")
        if first is None or brief is None or full is None or peak is None:
            return ""
        gains = (full - first, full - brief, peak - full)
        words = ("128 pixels for 64", "1000 steps for 300 at 128 pixels", "the maximum for the mean there")
        each = ", ".join(f"{gain:+.3f} by {what}" for gain, what in zip(gains, words, strict=True))
        told.append(f"{model}: {each} (published: {PUBLISHED_SCREW[model]:.3f}, reached by the mean: {full:.3f})")
    return (
        f"AUROC gained, everything else equal: {'; '.join(told)}. So the published level of whole-image L2 is partly a "
        "matter of size and length, which a CPU does not give; what these models see on screw, they see in a place, "
        "which the mean over the image dilutes and light outweighs.\n"
    )


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
