"""docs/two_stages.md: whether UTAD's two stages rebuild sharply without rebuilding the anomaly."""

from __future__ import annotations

from benchmarks import two_stages
from benchmarks.pages.markdown import Row, at, conditions, failures, measured, table

HEAD = """# UTAD's two stages

Made by `python -m benchmarks.pages` from the JSON files under `benchmarks/results/`; nothing here is written by hand.

Preset `small`, all test images, at the model's size. *rebuilt* is x_hat, *rebuilt, drawn detail* the same with random
detail in place of the image's own. Two sharp one-stage auto-encoders stand beside them: *one stage* is Expert-Net's own
of real images, the same network with content and detail from x; *sharp* is `ae-skip`. Means over seeds, with their
spread; last step; nothing is chosen on test images.
"""
PARTS = (
    ("Fidelity: PSNR of good images, dB", "fidelity", "psnr", 1),
    ("Fidelity: SSIM of good images", "fidelity", "ssim", 3),
    ("Error inside the masks of defects, mean of |x - picture| over the same on good images", "ratio", None, 2),
    ("Error on good images, mean of |x - picture|", "leak", "good_images", 4),
    ("Pixel AUROC", "pixel_auroc", None, 3),
    ("Image AUROC", "image_auroc", None, 3),
)


def render(rows: list[Row]) -> str:
    """The whole page."""
    done = measured(rows)
    if not done:
        return "\n".join([HEAD, "Not measured yet.\n", failures(rows, two_stages.SUITE.keys)])
    parts = [HEAD, conditions(rows, len(two_stages.JOBS))]
    for title, group, key, digits in PARTS:
        flat = [found for row in done for found in flat_rows(row, group, key)]
        best = min if key == "good_images" else max
        shown = table(flat, two_stages.CATEGORIES, at("value"), down="picture", digits=digits, best=best)
        parts += [f"## {title}\n", shown]
    seconds = table(done, two_stages.CATEGORIES, at("train_seconds"), down="method", digits=0, best=min)
    parts += ["## Seconds of training\n", seconds]
    return "\n".join([*parts, failures(rows, two_stages.SUITE.keys)])


def flat_rows(row: Row, group: str, key: str | None) -> list[Row]:
    """One flat row a picture of the run."""
    if group == "ratio":
        values = {name: found["inside_mask"] / found["good_images"] for name, found in row["leak"].items()}
    else:
        values = {name: found[key] if key else found for name, found in row[group].items()}
    return [{"category": row["category"], "picture": name, "value": value} for name, value in values.items()]
