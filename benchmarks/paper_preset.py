"""Preset `paper`, 256 pixels and 300 epochs, on a GPU: training time and image AUROC of the five models.

    python -m benchmarks.paper_preset --data FOLDER --processes 1

On a CPU a single run would take days; there every run ends at once in a row that says so.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

from benchmarks.categories import auroc_of, folder_of, test_samples
from benchmarks.ladder import MODELS, as_row
from benchmarks.readings import R_ALONE, reading
from benchmarks.suite import Job, Row, Suite, run_suite

CATEGORIES = ("screw", "magnetic_tile", "elpv mono")
SEEDS = (0,)


def measure(data: Path, job: Job) -> Row:
    """One model by the paper's score and, from the same weights, by the smoothed maximum."""
    import torch

    from daad import Detector

    if not torch.cuda.is_available():
        raise RuntimeError("no CUDA device here; preset paper is measured on a GPU")
    folder = folder_of(data, job["category"])
    detector = Detector.fit(folder, model=job["model"], preset="paper", seed=job["seed"], accelerator="cuda")
    evaluation = detector.evaluate(folder)
    labels, scores = evaluation.arrays()
    changes = {"reduction": "max", **(R_ALONE if job["model"] == "daad+" else {})}
    localised = reading(detector, changes).score(test_samples(folder))
    training = detector.provenance["training"]
    return {
        "image_auroc": {"whole-image L2": auroc_of(labels, scores), "maximum": auroc_of(labels, localised)},
        "metrics": {name: as_row(interval) for name, interval in evaluation.metrics.items()},
        "device": torch.cuda.get_device_name(),
        "train_seconds": round(training["seconds"], 1),
        "train_steps": training["steps"],
        "precision": training["precision"],
        "last_losses": training["last_terms"],
    }


JOBS = [
    {"category": category, "model": model, "seed": seed} for seed, category, model in product(SEEDS, CATEGORIES, MODELS)
]
SUITE = Suite("paper_preset", ("category", "model", "seed"), JOBS, measure)

if __name__ == "__main__":
    run_suite(SUITE, __doc__)
