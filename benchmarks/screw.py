"""Why screw comes out unlike the paper: size, length of training, score, and the global cue of its test images.

    python -m benchmarks.screw --data FOLDER

Screw is the one category that is here complete, and whole-image L2 of a network with skips is the paper's 1.000 there.
The good test images differ from all others in brightness: the brightness baseline ranks them almost perfectly, the
wrong way round. So each run also tells how closely its score follows an image's mean brightness.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.categories import auroc_of, folder_of
from benchmarks.held_out import error_maps
from benchmarks.readings import MAXIMUM, reading
from benchmarks.suite import Job, Row, Suite, run_suite
from benchmarks.sweep import as_the_model_sees

MODELS = ("ae", "ae-skip")
SETTINGS = {
    "64 px 1000 steps": (64, 1000),
    "128 px 300 steps": (128, 300),
    "128 px 600 steps": (128, 600),
    "128 px 1000 steps": (128, 1000),
}
SEEDS = (0, 1, 2)


def measure(data: Path, job: Job) -> Row:
    """Image AUROC of three scores, and the rank correlation of whole-image L2 with brightness over the test images."""
    from scipy.stats import spearmanr

    from daad import Detector

    side, steps = SETTINGS[job["setting"]]
    folder = folder_of(data, "screw")
    detector = Detector.fit(folder, model=job["model"], image_size=side, steps=steps, seed=job["seed"])
    images, labels, _ = as_the_model_sees(folder, detector)
    l2 = error_maps(detector, images).mean(axis=(1, 2), dtype=np.float64)
    brightness = images.mean(axis=(1, 2, 3))
    maximum = reading(detector, MAXIMUM).score(images)
    training = detector.provenance["training"]
    return {
        "image_auroc": {
            "whole-image L2": auroc_of(labels, l2),
            "maximum": auroc_of(labels, maximum),
            "preset": auroc_of(labels, detector.score(images)),
        },
        "brightness_rank_correlation": {
            "all": float(spearmanr(l2, brightness).statistic),
            "good": float(spearmanr(l2[labels == 0], brightness[labels == 0]).statistic),
            "defective": float(spearmanr(l2[labels == 1], brightness[labels == 1]).statistic),
        },
        "train_seconds": round(training["seconds"], 1),
        "last_losses": training["last_terms"],
    }


JOBS: list[Job] = [
    {"model": model, "setting": setting, "seed": seed} for seed, setting, model in product(SEEDS, SETTINGS, MODELS)
]
SUITE = Suite("screw", ("model", "setting", "seed"), JOBS, measure)

if __name__ == "__main__":
    run_suite(SUITE, __doc__)
