"""PaDiM on a backbone that learnt nothing: one pass over the good images, on every category, at two sizes.

    python -m benchmarks.quick --data FOLDER

Preset `small` but for the image size. What such a detector reaches in seconds is what a trained one must beat.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

from benchmarks.categories import CATEGORIES, folder_of
from benchmarks.ccd import evaluated
from benchmarks.suite import Job, Row, Suite, run_suite

SIZES = (64, 128)
SEEDS = (0, 1, 2)


def measure(data: Path, job: Job) -> Row:
    """One detector on one category."""
    from daad import Detector

    folder = folder_of(data, job["category"])
    detector = Detector.fit(folder, model="padim", seed=job["seed"], features="random", image_size=job["size"])
    return {"test": evaluated(detector, folder)}


JOBS: list[Job] = [
    {"category": category, "size": size, "seed": seed} for seed, size, category in product(SEEDS, SIZES, CATEGORIES)
]
SUITE = Suite("quick", ("category", "size", "seed"), JOBS, measure)

if __name__ == "__main__":
    run_suite(SUITE, __doc__)
