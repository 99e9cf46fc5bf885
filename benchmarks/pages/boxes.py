"""docs/appendix/boxes.md: what the parts of SCOD are worth."""

from __future__ import annotations

from statistics import fmean

from benchmarks import boxes
from benchmarks.pages.markdown import MADE, Row, Value, at, cell, conditions, failures, lines_of, measured, table
from benchmarks.pages.verdicts import Verdict, opening, verdict

PAGE, DIFFERENCES = "boxes", "Differences"
HEAD = f"""# Boxes: what SCOD's parts are worth

{MADE}"""
ABOUT = f"""## What was measured

A single-shot detector trained from scratch, preset `small`, {boxes.EPOCHS} epochs, last step. *neu_det*: six kinds of
defects of hot-rolled steel, boxes of all sizes, 160 pixels. *deep_pcb*: six kinds of defects of printed boards, boxes
of nearly one size, 256 pixels: the control, where scales cannot matter. *magnetic_tile*: the masks of five kinds of
defects turned into boxes, the first 70 % of each kind and all good training images to learn from, 160 pixels.

*+ one mask for all scales*: weak segmentation of all boxes at each layer, as DES has it. *+ masks by scale*: each layer
its own boxes, SCOD's block as we rebuilt it. *+ IoU*: 1 - IoU beside SmoothL1; *hiou*, *pow*, *riou*: losses that pull
harder on boxes that nearly fit, our readings of AIoU. The two masks have the same number of parameters, about twice
those of SSD alone. *mean box*: the mean training box of every class in every image. Thirds are those of the training
boxes by the root of their area. Average precision is COCO's; one test image of neu_det is also a training image (found
by its pixels, left in: the split is the data set's).
"""
TILES_HEAD = f"""Boards of 640 pixels shrunk to 256, or cut into tiles of {boxes.TILE} pixels at full resolution, for
{boxes.TILE_EPOCHS} epochs in place of {boxes.EPOCHS}, so that about as many pixels go through the network.
"""
PARTS: tuple[tuple[str, Value], ...] = (
    ("mAP50", at("ap50")),
    ("AP75", at("ap75")),
    ("mAP, IoU .5 to .95", at("ap")),
    ("mAP of the small third", at("by_size", "small")),
    ("mAP of the middle third", at("by_size", "middle")),
    ("mAP of the large third", at("by_size", "large")),
)
CLAIMS = (
    ("masks by scale over one mask, mAP50", "+ masks by scale", "+ one mask for all scales", "ap50"),
    ("masks by scale over one mask, mAP", "+ masks by scale", "+ one mask for all scales", "ap"),
    ("one mask over SSD, mAP", "+ one mask for all scales", "SSD", "ap"),
    ("1 - IoU over SSD, mAP50", "+ IoU", "SSD", "ap50"),
    ("1 - IoU over SSD, AP75", "+ IoU", "SSD", "ap75"),
    ("hiou over SSD, mAP50", "+ hiou", "SSD", "ap50"),
    ("hiou over SSD, AP75", "+ hiou", "SSD", "ap75"),
    ("pow over SSD, AP75", "+ pow", "SSD", "ap75"),
    ("riou over SSD, AP75", "+ riou", "SSD", "ap75"),
    ("hiou over 1 - IoU, AP75", "+ hiou", "+ IoU", "ap75"),
    ("both over SSD, mAP", "+ masks by scale and hiou", "SSD", "ap"),
)


def render(rows: list[Row]) -> str:
    """The whole page."""
    everything = measured(rows)
    done = [row for row in everything if row["data"] in boxes.DATA]
    if not done:
        return "\n".join([HEAD, "Not measured yet.\n", failures(rows, boxes.SUITE.keys)])
    parts = [HEAD, opening(verdicts(rows), PAGE), ABOUT, conditions(rows, len(boxes.JOBS))]
    for title, value in PARTS:
        shown = [*done, *_baselines(done)] if title in ("mAP50", "AP75", "mAP, IoU .5 to .95") else done
        parts += [f"## {title}\n", table(shown, tuple(boxes.DATA), value, down="method", across="data")]
    parts += [
        f"## {DIFFERENCES}\n",
        "Mean over the seeds that both have, in points; in brackets the smallest and the largest.\n",
    ]
    parts += [_differences(done)]
    parts += [_tiles(everything)]
    seconds = table(done, tuple(boxes.DATA), at("train_seconds"), down="method", across="data", digits=0, best=min)
    f1 = table(done, tuple(boxes.DATA), at("held_out_f1"), down="method", across="data")
    parts += ["## Best F1 on the held-out images\n", f1, "## Seconds of training\n", seconds]
    return "\n".join([*parts, failures(rows, boxes.SUITE.keys)])


def verdicts(rows: list[Row]) -> list[Verdict]:
    """Whether masks by scale beat one mask for all, and whether the loss of overlap lifts AP75 more than mAP50."""
    done = [row for row in measured(rows) if row["data"] in boxes.DATA]

    def apart(one: str, other: str, key: str) -> list[float]:
        found = [points_apart(done, data, one, other, key) for data in boxes.DATA]
        return [fmean(each) for each in found if each]

    masks = apart("+ masks by scale", "+ one mask for all scales", "ap")
    ap50, ap75 = (apart("+ hiou", boxes.PLAIN_SSD, key) for key in ("ap50", "ap75"))
    plain = apart("+ hiou", "+ IoU", "ap75")
    return [
        verdict(
            "**SCOD** Segmentation masks by scale beat one mask for all",
            [each > 0 for each in masks],
            f"{told(masks)} points of mAP on the three sets",
            PAGE,
            DIFFERENCES,
        ),
        verdict(
            "**SCOD** A loss that pulls harder on boxes that nearly fit lifts AP75 more than mAP50",
            [fine > coarse for coarse, fine in zip(ap50, ap75, strict=True)],
            f"AP75 {told(ap75)} points, mAP50 {told(ap50)}; against plain 1 - IoU AP75 {told(plain)}",
            PAGE,
            DIFFERENCES,
        ),
    ]


def told(points: list[float]) -> str:
    """Differences with their signs."""
    return ", ".join(f"{each:+.1f}" for each in points) or "–"


def points_apart(rows: list[Row], data: str, one: str, other: str, key: str) -> list[float]:
    """The difference of two methods by each seed that both have, in points."""
    values = {(r["method"], r["seed"]): r[key] for r in rows if r["data"] == data}
    return [
        100 * (values[one, seed] - values[other, seed])
        for seed in boxes.SEEDS
        if (one, seed) in values and (other, seed) in values
    ]


def _tiles(rows: list[Row]) -> str:
    """deep_pcb shrunk and cut, by the methods that were measured on both."""
    body = []
    for data in ("deep_pcb", boxes.TILED):
        for method in (boxes.PLAIN_SSD, boxes.WHOLE):
            mine = [row for row in rows if (row["data"], row["method"]) == (data, method)]
            cells = [[value for row in mine if (value := of(row)) is not None] for _, of in PARTS]
            body.append([f"{data}, {method}", *(cell(fmean(c) if c else None, c, None, 3) for c in cells)])
    return "\n".join(["## Whole boards and tiles of them\n", TILES_HEAD, lines_of(["", *(n for n, _ in PARTS)], body)])


def _baselines(rows: list[Row]) -> list[Row]:
    """The mean box as one more method; it is the same in every run of a data set and seed."""
    first = {(row["data"], row["seed"]): row for row in rows}
    return [{"method": "mean box", "data": data, **row["baseline"]} for (data, _), row in first.items()]


def _differences(rows: list[Row]) -> str:
    body = []
    for title, one, other, key in CLAIMS:
        cells = []
        for data in boxes.DATA:
            apart = points_apart(rows, data, one, other, key)
            cells.append(f"{fmean(apart):+.1f} [{min(apart):+.1f}, {max(apart):+.1f}]" if apart else "–")
        body.append([title, *cells])
    return lines_of(["difference", *boxes.DATA], body)
