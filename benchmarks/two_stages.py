"""UTAD's claim: two stages rebuild sharply without rebuilding the anomaly.

    python -m benchmarks.two_stages --data FOLDER

Preset `small`. On good test images: how near the impression m and the rebuilt image x_hat come to x. On defective ones:
the error inside the mask, beside that of two sharp one-stage auto-encoders, Expert-Net's own of real images (the same
network, content and detail from x) and `ae-skip`. Then what each difference is worth as a map and as a score. All at
the model's size, last step; nothing is chosen on test images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.categories import auroc_of, folder_of, test_samples
from benchmarks.suite import Job, Row, Suite, run_suite

CATEGORIES = ("magnetic_tile", "commutator", "pcb")
SEEDS = (0, 1, 2)
BATCH = 32
SHARP = "ae-skip"
METHODS = ("utad", SHARP)
Floats = npt.NDArray[np.float64]


def measure(data: Path, job: Job) -> Row:
    """One model on one category."""
    from daad import Detector

    folder = folder_of(data, job["category"])
    detector = Detector.fit(folder, model=job["method"], seed=job["seed"])
    training = detector.provenance["training"]
    return {
        **judged(detector, folder),
        "train_seconds": round(training["seconds"], 1),
        "train_steps": training["steps"],
        "last_losses": training["last_terms"],
    }


def judged(detector: Any, folder: Path) -> Row:
    """Fidelity, leak, and AUROCs over all test images."""
    found: dict[str, list[Floats]] = {}
    labels, masks = [], []
    for samples, images in batches(detector, folder):
        labels += [sample.label for sample in samples]
        masks += [mask_of(sample, images.shape[-2:]) for sample in samples]
        for name, values in drawn(detector, images).items():
            found.setdefault(name, []).append(values)
    whole = {name: np.concatenate(parts) for name, parts in found.items()}
    odd, mask = np.array(labels, bool), np.stack(masks)
    pictures = [name for name in whole if name.startswith("picture ")]
    x = whole["image"]
    return {
        "fidelity": {name.removeprefix("picture "): fidelity(x[~odd], whole[name][~odd]) for name in pictures},
        "leak": {name.removeprefix("picture "): leak(x, whole[name], odd, mask) for name in pictures},
        "pixel_auroc": {
            name.removeprefix("map "): auroc_of(mask.ravel().astype(int), whole[name].ravel())
            for name in whole
            if name.startswith("map ")
        },
        "image_auroc": image_aurocs(odd, whole),
    }


def drawn(detector: Any, images: Any) -> dict[str, Floats]:
    """Pictures, maps and scores of a batch, as arrays (B, ...)."""
    import torch

    model = detector.model
    with torch.inference_mode():
        found = {"image": images}
        if detector.name == SHARP:
            found["picture sharp"] = model(images).reconstruction
        else:
            parts = model.generate(images)
            codes = torch.randn(len(images), model.config.detail, generator=torch.Generator().manual_seed(0))
            content = model.impressions.content(parts.impression)
            found |= {
                "picture impression": parts.impression,
                "picture rebuilt": parts.rebuilt,
                "picture rebuilt, drawn detail": model.images.decode(content, codes),
                "picture one stage": model.images.decode(model.images.content(images), model.images.detail(images)),
                "map measure": model.blur(model.error_map(images, parts)[:, None])[:, 0],
                "score neighbours": model.neighbour_distance(parts.code, model.config.neighbours),
            }
        for name in [name for name in found if name.startswith("picture ")]:
            apart = (images - found[name]).abs().mean(dim=1, keepdim=True)
            found[f"map |x - {name.removeprefix('picture ')}|"] = model.blur(apart)[:, 0]
    return {name: value.double().numpy() for name, value in found.items()}


def fidelity(images: Floats, pictures: Floats) -> dict[str, float]:
    """PSNR in dB and SSIM, means over images (N, C, H, W) in [0, 1]."""
    import torch
    from kornia.metrics import ssim

    error = np.square(images - pictures).mean(axis=(1, 2, 3))
    pairs = (torch.from_numpy(each) for each in (images, pictures))
    return {"psnr": float(-10 * np.log10(error.clip(1e-10)).mean()), "ssim": float(ssim(*pairs, window_size=11).mean())}


def leak(images: Floats, pictures: Floats, odd: Any, mask: Any) -> dict[str, float]:
    """Mean |x - picture| inside the masks, and on good images: a picture that keeps the defect has little of the
    first."""
    apart = np.abs(images - pictures).mean(axis=1)
    return {"inside_mask": float(apart[mask].mean()), "good_images": float(apart[~odd].mean())}


def image_aurocs(odd: Any, whole: dict[str, Floats]) -> dict[str, float]:
    """By the highest value of each map, by the neighbours, and by the mean rank of both of UTAD's scores."""

    scores = {
        name.removeprefix("map "): values.max(axis=(1, 2)) for name, values in whole.items() if name.startswith("map ")
    }
    if "score neighbours" in whole:
        scores["neighbours"] = whole["score neighbours"]
        ranks = [
            np.argsort(np.argsort(scores[name], kind="stable"), kind="stable") for name in ("measure", "neighbours")
        ]
        scores["rank average"] = (ranks[0] + ranks[1]) / 2
    return {name: auroc_of(odd.astype(int), values) for name, values in scores.items()}


def batches(detector: Any, folder: Path) -> Iterator[tuple[list[Any], Any]]:
    """Test samples and their images (B, C, H, W) as the model takes them."""
    import torch

    from daad.data.decode import decode
    from daad.data.preprocess import to_float

    samples = test_samples(folder)
    prepare: Callable[[Any], Any] = detector.preprocess.apply
    for start in range(0, len(samples), BATCH):
        some = samples[start : start + BATCH]
        ints = np.stack([prepare(decode(sample.image)) for sample in some])
        yield some, torch.from_numpy(to_float(ints))


def mask_of(sample: Any, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The mask at the model's size: any pixel that a defect touches."""
    from daad.data.decode import decode, decode_mask

    if not sample.label:
        return np.zeros(shape, bool)
    mask = decode_mask(sample.mask, shape=decode(sample.image).shape[:2])
    rows, columns = (np.arange(n) * m // n for n, m in zip(shape, mask.shape, strict=True))
    found: npt.NDArray[np.bool_] = np.logical_or.reduceat(np.logical_or.reduceat(mask, rows, axis=0), columns, axis=1)
    return found


JOBS: list[Job] = [
    {"category": category, "method": method, "seed": seed}
    for seed, category, method in product(SEEDS, CATEGORIES, METHODS)
]
SUITE = Suite("two_stages", ("category", "method", "seed"), JOBS, measure)

if __name__ == "__main__":
    run_suite(SUITE, __doc__)
