"""What the choices of preset `small` rest on: good training images alone, with synthetic defects, no test image.

    python -m benchmarks.choices --data FOLDER

Of each category's training images a fifth is kept away; a copy of each of these gets one synthetic defect. A variant is
fitted on the other four fifths and asked to tell the copies from the originals.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.foundation import CATEGORIES
from benchmarks.machine import provenance
from benchmarks.readings import reading

RESULTS = Path(__file__).parent / "results" / "choices.json"
CHOSEN_ON = ("screw", "magnetic_tile", "elpv mono")
STEPS = 500
SIDE = 64
PAPER_SCORE = {"reduction": "mean", "standardise": False}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "daad, no temperature": ("daad", {"temperature": None}),
    "daad, temperature 0.1": ("daad", {"temperature": 0.1}),
    "daad, temperature 0.03": ("daad", {}),
    "daad+, weights 50 / 1 / 1": ("daad+", {"lambda_adv": 1.0, "lambda_ali": 1.0}),
    "daad+, weights 50 / 0.01 / 0.01": ("daad+", {}),
}
READINGS: dict[str, dict[str, Any]] = {
    "mean error (paper)": PAPER_SCORE,
    "maximum": {"standardise": False},
    "maximum, standardised": {},
}
PLUS_READINGS: dict[str, dict[str, Any]] = {
    "0.9 R + 0.1 L (paper)": {**PAPER_SCORE, "gamma": 0.9, "balance": False},
    "balanced halves": {},
}

Ints = npt.NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    data: Path = parser.parse_args().data
    os.environ["OMP_NUM_THREADS"] = "1"
    jobs = list(product([data], CHOSEN_ON, VARIANTS))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(measure, *zip(*jobs, strict=True)))
    result = {"schema": 1, "suite": "choices", "seed": 0, "steps": STEPS, "rows": rows, "provenance": provenance()}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def measure(data: Path, category: str, variant: str) -> dict[str, Any]:
    """One variant on one category: AUROC of every reading of the same weights, and the error on good images."""
    import torch

    torch.set_num_threads(1)
    from daad import Detector
    from daad.metrics.ranking import auroc

    learn, clean = split(data / CATEGORIES[category])
    model, settings = VARIANTS[variant]
    detector = Detector.fit(learn, model=model, steps=STEPS, image_size=SIDE, **settings)
    both = np.concatenate([clean, with_defects(clean, seed=1)])
    labels = np.repeat([0, 1], len(clean))
    alone = {"gamma": 1.0, "balance": False} if model == "daad+" else {}
    readings = {name: {**changes, **alone} for name, changes in READINGS.items()}
    readings |= PLUS_READINGS if model == "daad+" else {}
    aurocs = {
        name: auroc(labels, reading(detector, changes).decision_function(both)) for name, changes in readings.items()
    }
    error = reading(detector, {**PAPER_SCORE, **alone}).decision_function(clean).mean()
    return {"category": category, "variant": variant, "auroc": aurocs, "error_of_good": float(error)}


def split(folder: Path) -> tuple[Ints, Ints]:
    """Four fifths and a fifth of the training images, as the model will see them."""
    from daad.data.cache import cache_images
    from daad.data.layouts import read_layout
    from daad.data.preprocess import Preprocess

    preprocess = Preprocess(height=SIDE, width=SIDE, channels=1)
    images = np.asarray(cache_images(read_layout(folder, split="train"), preprocess, None).images)
    order = np.random.default_rng(0).permutation(len(images))
    kept = len(images) // 5
    return images[order[kept:]], images[order[:kept]]


def with_defects(images: Ints, seed: int) -> Ints:
    """A copy of each image (N, H, W, 1) with one defect, in turn: a patch of another image, a scratch, a soft blob."""
    rng = np.random.default_rng(seed)
    kinds = (pasted_patch, scratch, blob)
    return np.stack([kinds[i % 3](image, images[rng.integers(len(images))], rng) for i, image in enumerate(images)])


def pasted_patch(image: Ints, other: Ints, rng: np.random.Generator) -> Ints:
    height, width = image.shape[:2]
    tall, wide = rng.integers(height // 16, height // 5), rng.integers(width // 16, width // 5)
    (top, source_top), (left, source_left) = rng.integers(0, height - tall, 2), rng.integers(0, width - wide, 2)
    found = image.copy()
    found[top : top + tall, left : left + wide] = other[
        source_top : source_top + tall, source_left : source_left + wide
    ]
    return found


def scratch(image: Ints, other: Ints, rng: np.random.Generator) -> Ints:
    height, width = image.shape[:2]
    angle, length = rng.uniform(0, np.pi), rng.uniform(0.15, 0.4) * min(height, width)
    along = np.linspace(-length / 2, length / 2, 4 * max(height, width))
    ys = (rng.uniform(0.25, 0.75) * height + along * np.sin(angle)).astype(int).clip(0, height - 1)
    xs = (rng.uniform(0.25, 0.75) * width + along * np.cos(angle)).astype(int).clip(0, width - 1)
    mark = np.zeros((height, width, 1))
    mark[ys, xs] = rng.choice([-1, 1]) * rng.uniform(25, 70)
    return clipped(image + mark)


def blob(image: Ints, other: Ints, rng: np.random.Generator) -> Ints:
    height, width = image.shape[:2]
    ys, xs = np.mgrid[:height, :width]
    apart = (ys - rng.uniform(0.2, 0.8) * height) ** 2 + (xs - rng.uniform(0.2, 0.8) * width) ** 2
    strength = rng.choice([-1, 1]) * rng.uniform(20, 60)
    return clipped(image + strength * np.exp(-apart / (2 * (rng.uniform(0.02, 0.06) * height) ** 2))[..., None])


def clipped(values: npt.NDArray[np.float64]) -> Ints:
    return values.round().clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
