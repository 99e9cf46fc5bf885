"""CCD's ladder: what each part of the pre-training is worth to PaDiM and to IGD.

    python -m benchmarks.ccd --data FOLDER

Preset `small`; every rung takes the same number of steps and shows the backbone the same number of views, 256 a step:
SimCLR two of each of 128 images, the others eight of each of 32. (L_pos adds 64 patches of a sixteenth of the area.)
Both detectors stand on the same backbone. Beside the ladder: the random backbone, and EfficientNet-Lite0 with its
ImageNet weights at 224 pixels, frozen, IGD there without its local branch (every patch of 32 pixels would be enlarged
to 224, hours a run). Last step; nothing is chosen on test images.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.categories import auroc_of, folder_of
from benchmarks.held_out import held_out_pairs
from benchmarks.ladder import as_row
from benchmarks.suite import Job, Row, Suite, run_suite

CATEGORIES = ("magnetic_tile", "elpv mono", "commutator")
SEEDS = (0, 1, 2)
VIEWS = 256
LITE0 = "Lite0 of ImageNet"
RUNGS: dict[str, dict[str, Any]] = {
    "random": {},
    "SimCLR": {"use_dist": False, "use_cla": False, "use_pos": False, "batch_size": VIEWS // 2},
    "+ distributions": {"use_cla": False, "use_pos": False},
    "+ L_cla": {"use_pos": False},
    "+ L_pos": {},
    LITE0: {},
}
FEATURES = {"random": "random", LITE0: "lite0"}
METRICS = ("image_auroc", "pixel_auroc", "aupro_0.3")


def measure(data: Path, job: Job) -> Row:
    """Both detectors on one rung's backbone."""
    from daad import Detector

    folder, settings, seed = folder_of(data, job["category"]), RUNGS[job["rung"]], job["seed"]
    features = FEATURES.get(job["rung"], "ccd")
    common: dict[str, Any] = {"seed": seed, "image_size": 64}
    padim = Detector.fit(folder, model="padim", features=features, feature_settings=settings, **common)
    with TemporaryDirectory() as place:
        saved = str(padim.save(Path(place) / "padim"))
        taken = {"features": "lite0", "local": False} if features == "lite0" else {"features": saved}
        igd = Detector.fit(folder, model="igd", **taken, **common)
    detectors = {"padim": padim, "igd": igd}
    training = {name: detector.provenance["training"] for name, detector in detectors.items()}
    return {
        "test": {name: evaluated(detector, folder) for name, detector in detectors.items()},
        "held_out": {name: held_out_auroc(detector, folder) for name, detector in detectors.items()},
        "train_seconds": {name: round(found["seconds"], 1) for name, found in training.items()},
        "train_steps": {name: found["steps"] for name, found in training.items()},
        "last_losses": {**training["padim"]["last_terms"], **training["igd"]["last_terms"]},
    }


def evaluated(detector: Any, folder: Path) -> Row:
    """The metrics that a category's test images allow, with intervals."""
    metrics = detector.evaluate(folder).metrics
    return {name: as_row(metrics[name]) for name in METRICS if name in metrics}


def held_out_auroc(detector: Any, folder: Path) -> float:
    """Image AUROC of good images kept from training against copies with synthetic defects."""
    pairs = held_out_pairs(folder, detector)
    scores = detector.score(np.concatenate([pairs.good, pairs.defective]))
    return round(auroc_of([0] * len(pairs.good) + [1] * len(pairs.defective), scores), 5)


JOBS: list[Job] = [
    {"category": category, "rung": rung, "seed": seed} for seed, category, rung in product(SEEDS, CATEGORIES, RUNGS)
]
SUITE = Suite("ccd", ("category", "rung", "seed"), JOBS, measure)

if __name__ == "__main__":
    run_suite(SUITE, __doc__)
