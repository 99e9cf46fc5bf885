"""docs/appendix/two_stages.md: whether UTAD's two stages rebuild sharply without rebuilding the anomaly."""

from __future__ import annotations

from benchmarks import two_stages
from benchmarks.pages.markdown import MADE, Row, at, conditions, failures, measured, table
from benchmarks.pages.verdicts import Verdict, above, counted, mean_where, opening, short, verdict

PAGE = "two_stages"
HEAD = f"""# UTAD's two stages

{MADE}"""
ABOUT = """## What was measured

Preset `small`, all test images, at the model's size. *rebuilt* is x_hat. *rebuilt, drawn detail* is the same with
random detail in place of the image's own. Two sharp one-stage autoencoders stand beside them. *one stage* is
Expert-Net's own of real images: the same network, with content and detail from x. *sharp* is `ae-skip`. Means over
seeds, with their spread; last step; nothing is chosen on test images.
"""
REBUILT, IMPRESSION, ONE_STAGE = "rebuilt", "impression", "one stage"
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
    parts = [HEAD, opening(verdicts(rows), PAGE), ABOUT, conditions(rows, len(two_stages.JOBS))]
    for title, group, key, digits in PARTS:
        flat = [found for row in done for found in flat_rows(row, group, key)]
        best = min if key == "good_images" else max
        shown = table(flat, two_stages.CATEGORIES, at("value"), down="picture", digits=digits, best=best)
        parts += [f"## {title}\n", shown]
    seconds = table(done, two_stages.CATEGORIES, at("train_seconds"), down="method", digits=0, best=min)
    parts += ["## Seconds of training\n", seconds]
    return "\n".join([*parts, failures(rows, two_stages.SUITE.keys)])


def verdicts(rows: list[Row]) -> list[Verdict]:
    """Whether two stages rebuild more faithfully, keep the anomaly out, and find it better than one stage."""
    done = measured(rows)
    titles = {(group, key): title for title, group, key, _ in PARTS}

    def compared(group: str, key: str | None, one: str, other: str) -> list[bool | None]:
        flat = [found for row in done for found in flat_rows(row, group, key)]
        pairs = (
            [mean_where(flat, at("value"), category=c, picture=p) for p in (one, other)] for c in two_stages.CATEGORIES
        )
        return [above(*pair) for pair in pairs]

    def mean(group: str, picture: str) -> str:
        flat = [found for row in done for found in flat_rows(row, group, None)]
        return short(mean_where(flat, at("value"), picture=picture))

    psnr = compared("fidelity", "psnr", REBUILT, IMPRESSION)
    ssim = compared("fidelity", "ssim", REBUILT, IMPRESSION)
    kept_out = compared("ratio", None, REBUILT, ONE_STAGE)
    score, one_stage, sharp = "measure", f"|x - {ONE_STAGE}|", "|x - sharp|"
    return [
        verdict(
            "**UTAD** The second stage adds true detail to the impression",
            [*psnr, *ssim],
            f"nearer to good images on {counted(psnr)} sets by PSNR, on {counted(ssim)} by SSIM",
            PAGE,
            titles["fidelity", "psnr"],
        ),
        verdict(
            "**UTAD** It does so without drawing the defect, unlike one stage",
            kept_out,
            f"the defect is kept out better on {counted(kept_out)} sets",
            PAGE,
            titles["ratio", None],
        ),
        verdict(
            "**UTAD** So it finds defects better than one stage",
            [
                *compared("pixel_auroc", None, score, one_stage),
                *compared("image_auroc", None, score, one_stage),
                *compared("image_auroc", None, score, sharp),
            ],
            f"pixel AUROC {mean('pixel_auroc', score)}, one stage {mean('pixel_auroc', one_stage)}; image AUROC "
            f"{mean('image_auroc', score)}, one stage {mean('image_auroc', one_stage)}, AE with skips "
            f"{mean('image_auroc', sharp)}",
            PAGE,
            titles["pixel_auroc", None],
        ),
    ]


def flat_rows(row: Row, group: str, key: str | None) -> list[Row]:
    """One flat row a picture of the run."""
    if group == "ratio":
        values = {name: found["inside_mask"] / found["good_images"] for name, found in row["leak"].items()}
    else:
        values = {name: found[key] if key else found for name, found in row[group].items()}
    return [{"category": row["category"], "picture": name, "value": value} for name, value in values.items()]
