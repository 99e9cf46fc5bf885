"""docs/appendix/results.md: what the models reach beside the field's, the demo, the speed."""

from __future__ import annotations

from typing import Any

from benchmarks.ladder import BASELINES, LADDER
from benchmarks.pages.markdown import (
    MADE,
    Row,
    Value,
    at,
    conditions,
    failures,
    lines_of,
    mean_of,
    measured,
    number,
    table,
)
from benchmarks.pages.verdicts import Verdict, above, counted, mean_where, opening, short, verdict
from benchmarks.peers import SUITE as PEERS

PAGE = "results"
HEAD = f"""# Measured results

{MADE}"""
BESIDE, FLAGGED = "Beside what a user would take instead", "Good flagged"
SCORE_TITLE = "Image AUROC, the preset's score"
FROM_SCRATCH, PRETRAINED = ("ganomaly", "draem"), "padim-lite0 64 px"
ASKED = 0.05
ABOUT = """## What was measured

Five models with preset `small` as it is, on six categories. The score is that of the last step, never of the best step
on test images. Nothing is set on test images, and [choices](choices.md) shows how the settings were chosen. Figures are
means of the seeds, with the standard deviation between them. Bold is the best of a column, among models and baselines.
The baselines have no seed. They see the same images of 64 pixels, and all training images. Whether the claims of the
papers hold: [claims](../claims.md).
"""

PEERS_HEAD = f"""## {BESIDE}

*daad's* rows are those above. GANomaly and DRAEM are the from-scratch models of anomalib, with their own losses,
optimisers and defaults. (DRAEM's foreign textures are photographs of scikit-image.) They saw the same training images
at the same size. They had one thread, and the seconds that training daad+ took. That is little for them: they were made
for GPUs, and the table of costs shows how few steps they came to.

PaDiM and a PatchCore-style nearest neighbour stand on a frozen EfficientNet-Lite0. It was trained on ImageNet, a
million labelled photographs. This is the reference for those who may use such weights.
"""


def render(rows: list[Row], peers: list[Row], demo: Row | None = None, speed: Row | None = None) -> str:
    """The whole page."""
    models = [row for row in measured(rows) if row["model"] != BASELINES]
    categories = list(dict.fromkeys(row["category"] for row in rows))
    parts = [
        HEAD,
        opening(verdicts(rows, peers), PAGE),
        ABOUT,
        conditions(models, len(LADDER.jobs) - len(categories)) if models else "",
        f"## {SCORE_TITLE}\n\nThe maximum of the standardised error maps.\n",
        auroc_table(rows, categories, "localised"),
        "## Image AUROC, the paper's score\n\nThe whole image's error, for daad+ 0.9 R + 0.1 L; same weights.\n",
        auroc_table(rows, categories, "paper's"),
        peers_part(models, peers, categories) if peers else "",
        "## AUPRO (limit 0.3), at the images' own resolution\n",
        table(models, categories, metric("aupro_0.3")),
        "## Pixel AUROC\n",
        table(models, categories, metric("pixel_auroc")),
        f"## {FLAGGED}\n\nThe share of good test images above the threshold; asked for was {ASKED}.\n",
        table(models, categories, metric("false_alarm_rate"), best=None),
        "## Defective found\n\nThe share of defective test images above the same threshold.\n",
        table(models, categories, metric("detection_rate")),
        "## Training time in seconds, one thread\n",
        table(models, categories, at("train_seconds"), digits=0, best=min),
        "## Images a second when scoring, one thread\n",
        table(models, categories, at("images_per_second"), digits=0),
        "## Training losses at the last step (weighted), mean over categories and seeds\n",
        loss_table(models),
        demo_part(demo) if demo else "",
        speed_part(speed) if speed else "",
        failures(rows, LADDER.keys),
        images_part(models),
    ]
    return "\n".join(part for part in parts if part)


def verdicts(rows: list[Row], peers: list[Row]) -> list[Verdict]:
    """What a user asks: is it better than nothing, than others from scratch, than pretrained; does the rate hold?"""
    ours = [row for row in measured(rows) if row["model"] == "daad"]
    trivial = {row["category"]: max(row["baselines"].values()) for row in measured(rows) if "baselines" in row}
    categories = list(dict.fromkeys(row["category"] for row in ours))
    auroc, theirs = metric("image_auroc"), measured(peers)

    def by_category(found: list[Row], **fields: object) -> list[float | None]:
        return [mean_where(found, auroc, category=category, **fields) for category in categories]

    def beats(others: list[float | None]) -> list[bool | None]:
        return [above(one, other) for one, other in zip(by_category(ours), others, strict=True)]

    def mean(found: list[Row], **fields: object) -> str:
        return short(mean_where(found, auroc, **fields))

    nothing = beats([trivial.get(category) for category in categories])
    scratch = [held for model in FROM_SCRATCH for held in beats(by_category(theirs, model=model))]
    pretrained = beats(by_category(theirs, model=PRETRAINED))
    rate = mean_where(ours, metric("false_alarm_rate"))
    rates = [mean_where(ours, metric("false_alarm_rate"), category=category) for category in categories]
    lowest, highest = (short(of([each for each in rates if each is not None], default=None)) for of in (min, max))
    return [
        verdict(
            "`daad` is ahead of the best trivial baseline",
            nothing,
            f"on {counted(nothing)} categories",
            PAGE,
            SCORE_TITLE,
        ),
        verdict(
            "`daad` is ahead of what anomalib trains from scratch in the same time on one core",
            scratch,
            f"mean AUROC {mean(ours)}; GANomaly {mean(theirs, model='ganomaly')}, DRAEM {mean(theirs, model='draem')}",
            PAGE,
            BESIDE,
        ),
        verdict(
            "`daad` is ahead of PaDiM on a network pretrained on ImageNet, at the same 64 pixels",
            pretrained,
            f"mean AUROC {mean(ours)}, PaDiM {mean(theirs, model=PRETRAINED)}",
            PAGE,
            BESIDE,
        ),
        verdict(
            f"`daad` flags at most a share of {ASKED} of good test images on average, as asked for",
            [None if rate is None else rate <= ASKED],
            f"{short(rate)} over the categories; {lowest} to {highest} on a single one",
            PAGE,
            FLAGGED,
        ),
    ]


def metric(name: str) -> Value:
    """A metric's value."""
    return at("metrics", name, "value")


def auroc_table(rows: list[Row], categories: list[str], score: str) -> str:
    """The models by one reading of their weights, with the baselines, which have but one score."""
    baselines = [
        {"category": row["category"], "model": f"*{name}*", "seed": 0, "image_auroc_by_score": {score: value}}
        for row in rows
        if "baselines" in row
        for name, value in row["baselines"].items()
    ]
    models = [row for row in measured(rows) if row["model"] != BASELINES]
    return table([*models, *baselines], categories, at("image_auroc_by_score", score))


def peers_part(models: list[Row], peers: list[Row], categories: list[str]) -> str:
    """daad's models and the peers in one table, and what each cost."""
    theirs = measured(peers)
    ours = [row for row in models if row["seed"] in {peer["seed"] for peer in theirs}]
    pace = []
    for model in dict.fromkeys(row["model"] for row in [*ours, *theirs]):
        mine = [row for row in [*ours, *theirs] if row["model"] == model]
        steps = mean_of(mine, lambda row: row.get("train_steps", row.get("steps")))
        cost = (mean_of(mine, at("train_seconds")), steps, mean_of(mine, at("images_per_second")))
        pace.append([model, *(number(value, 0) for value in cost)])
    return "\n".join(
        [
            PEERS_HEAD,
            conditions(theirs, len(PEERS.jobs)) if theirs else "",
            "### Image AUROC\n",
            table([*ours, *theirs], categories, metric("image_auroc")),
            "### AUPRO (limit 0.3); GANomaly has no map\n",
            table([*ours, *theirs], categories, metric("aupro_0.3")),
            "### Share of good test images flagged (asked for: 0.05), each with daad's calibration\n",
            table([*ours, *theirs], categories, metric("false_alarm_rate"), best=None),
            "### What it cost, mean over categories; one thread\n",
            lines_of(["model", "training, s", "steps", "images/s"], pace),
            failures(peers, PEERS.keys),
        ]
    )


def loss_table(rows: list[Row]) -> str:
    """Every term of every model at the end of its training."""
    body = []
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        body += [[model, term, number(mean_of(mine, at("last_losses", term)), 4)] for term in mine[0]["last_losses"]]
    return lines_of(["model", "term", "mean"], body)


def demo_part(demo: Row) -> str:
    """The figures of `make demo`."""
    auroc = demo["image_auroc"]
    return (
        f"## The demo\n\n`make demo` on {demo['provenance']['machine']}: image AUROC {auroc['value']:.3f} "
        f"[{auroc['low']:.3f}, {auroc['high']:.3f}] on {demo['counts']['good']} good and {demo['counts']['anomalous']} "
        f"defective cells, seed {demo['seed']}; {demo['seconds']} s from the first image to the report, of which "
        f"{demo['train_seconds']:.0f} s training on {demo['provenance']['threads']} threads.\n"
    )


def speed_part(speed: Row) -> str:
    """What the choices for speed are worth, as ratios of times."""

    def text(ratio: Row) -> str:
        return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"

    head = "## What the choices for speed are worth\n\nRatios of times taken in turn, median and range; one thread.\n"
    body = [
        [row["model"], text(row["bf16_to_float32"]), text(row["contiguous_to_channels_last"])] for row in speed["steps"]
    ]
    cache = f"An epoch's images from the cache : decoded again (512 x 512 PNG): {speed['cache']['median']:.4f}.\n"
    columns = ["model", "step in bfloat16 : float32", "step in contiguous : channels-last"]
    return "\n".join([head, lines_of(columns, body), cache, *inference_lines(speed.get("inference"))])


def inference_lines(inference: Row | None) -> list[str]:
    """What it is worth that a model runs few pixels at once."""
    if inference is None:
        return []
    time, faults = inference["parts_to_whole"], inference["page_faults_an_image"]
    return [
        f"Judging {inference['batch']} images of {inference['side']} pixels in parts : all at once: "
        f"{time['median']:.2f} ({time['low']:.2f} to {time['high']:.2f}) of the time; page faults an image "
        f"{faults['in_parts']:,.0f} : {faults['at_once']:,.0f}.\n"
    ]


def images_part(rows: list[Row]) -> str:
    """How many images of which size."""
    if not rows:
        return ""

    def counts(row: Row) -> str:
        n = row["images"]
        return f"{row['category']} {n['fit']} + {n['calibration']} / {n['good']} + {n['anomalous']}"

    def size(row: dict[str, Any]) -> str:
        return f"{row['category']} {row['config']['height']} x {row['config']['width']}"

    return (
        "## Images\n\n- fit + held out / good + defective tested: "
        + "; ".join(sorted({counts(row) for row in rows}))
        + "\n- image sizes the models saw: "
        + "; ".join(sorted({size(row) for row in rows}))
        + "\n- training precision: "
        + ", ".join(sorted({row["precision"] for row in rows}))
        + "\n"
    )
