"""MCOD's presets `paper` and `official`, 200 epochs of the wide network, in contaminated pools, on a GPU.

    python -m benchmarks.outliers_paper --data FOLDER

The protocol of `benchmarks.outliers` at p = 0.1 with pools four times as large, for the length is counted in epochs:
2,000 images of a class, or as many as there are. One seed; last step, no class left out. Beside them the baselines and
preset `small`, which learn on the CPU; there a run of the wide network would take hours, and ends at once in a row that
says so.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.one_class import DATASETS, load
from benchmarks.outliers import CLASSES, TRIVIAL, baselines, ranked
from benchmarks.suite import Job, Row, Suite, run_suite

NORMALS = 2000
SHARE = 0.1
SEEDS = (0,)
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "mcod small": ("small", {}),
    "mcod official": ("official", {}),
    "mcod paper": ("paper", {}),
    "mcod paper without contrast": ("paper", {"use_contrast": False}),
    "mcod paper without memory": ("paper", {"use_memory": False}),
}
METHODS = (TRIVIAL, *PRESETS)


def measure(data: Path, job: Job) -> Row:
    """How well one method ranks one pool."""
    from benchmarks.contaminate import contaminate

    images, labels = load(data, job["dataset"], "train")
    there = int((labels == job["normal"]).sum())
    rows, odd = contaminate(labels, job["normal"], SHARE, job["seed"], normals=min(NORMALS, there))
    pool = images[rows]
    counts = {"images": len(pool), "outliers": int(odd.sum())}
    if job["method"] == TRIVIAL:
        return {"scores": {name: ranked(odd, found) for name, found in baselines(pool, job["seed"]).items()}, **counts}
    return {**fitted(pool, odd, job), **counts}


def fitted(pool: Any, odd: Any, job: Job) -> Row:
    """A preset learnt from the pool, which then ranks it; all but `small` on the GPU."""
    import torch

    from daad import audit

    preset, settings = PRESETS[job["method"]]
    accelerator = "cpu" if preset == "small" else "cuda"
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("no CUDA device here; presets paper and official are measured on a GPU")
    found = audit(pool, model="mcod", preset=preset, seed=job["seed"], accelerator=accelerator, **settings)
    by_name = {row.name: row.score for row in found.rows}
    scores = np.array([by_name[f"array[{i}]"] for i in range(len(pool))])
    training = found.provenance["training"]
    return {
        "scores": {"score": ranked(odd, scores)},
        "device": torch.cuda.get_device_name() if accelerator == "cuda" else "CPU",
        "train_seconds": round(training["seconds"], 1),
        "train_steps": training["steps"],
        "precision": training["precision"],
        "last_losses": training["last_terms"],
    }


JOBS: list[Job] = [
    {"dataset": dataset, "normal": normal, "method": method, "seed": seed}
    for seed, method, dataset, normal in product(SEEDS, METHODS, DATASETS, CLASSES)
]
SUITE = Suite("outliers_paper", ("dataset", "normal", "method", "seed"), JOBS, measure)

if __name__ == "__main__":
    run_suite(SUITE, __doc__)
