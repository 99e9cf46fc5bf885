"""The paper's ladder AE+Skip < AE <= MemAE < DAAD < DAAD+ on six categories, with trivial baselines beside it.

    python -m benchmarks.ladder --data FOLDER          (make bench DATA=FOLDER)

Every model is fitted with preset `small` as it is; the last step is evaluated. From the same weights come the preset's
localised score and the paper's whole-image score.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.categories import CATEGORIES, auroc_of, folder_of, test_samples
from benchmarks.readings import papers_score, reading
from benchmarks.suite import Job, Row, Suite, run_suite

MODELS = ("ae", "ae-skip", "memae", "daad", "daad+")
BASELINES = "baselines"
SEEDS = (0, 1, 2)
TIMED_IMAGES = 64


def jobs() -> list[Job]:
    """Seed by seed; the baselines have none and are run once."""
    models = product(SEEDS, CATEGORIES, MODELS)
    trained = [{"category": category, "model": model, "seed": seed} for seed, category, model in models]
    return [{"category": category, "model": BASELINES, "seed": 0} for category in CATEGORIES] + trained


def measure(data: Path, job: Job) -> Row:
    """One model, or all the baselines, on one category."""
    folder = folder_of(data, job["category"])
    return measure_baselines(folder) if job["model"] == BASELINES else measure_model(folder, job["model"], job["seed"])


def measure_model(folder: Path, model: str, seed: int) -> Row:
    """Fit with the preset as it is, evaluate the last step; the paper's score is read from the same weights."""
    from daad import Detector

    detector = Detector.fit(folder, model=model, preset="small", seed=seed)
    evaluation = detector.evaluate(folder)
    labels, scores = evaluation.arrays()
    by_paper = reading(detector, papers_score(model)).score(test_samples(folder))
    training = detector.provenance["training"]
    return {
        "image_auroc": evaluation.metrics["image_auroc"].value,
        "image_auroc_by_score": {"localised": auroc_of(labels, scores), "paper's": auroc_of(labels, by_paper)},
        "metrics": {name: as_row(interval) for name, interval in evaluation.metrics.items()},
        "by_defect": {name: as_row(interval) for name, interval in evaluation.by_defect.items()},
        "config": detector.model.config.model_dump(mode="json"),
        "images": {**detector.provenance["images"], **evaluation.counts},
        "train_seconds": round(training["seconds"], 1),
        "train_steps": training["steps"],
        "precision": training["precision"],
        "last_losses": training["last_terms"],
        "images_per_second": round(images_per_second(detector), 1),
    }


def images_per_second(detector: Any) -> float:
    """Scoring pace from arrays at the model's size to predictions with regions, batches of 16, one thread."""
    import numpy as np

    p = detector.preprocess
    images = np.random.default_rng(0).integers(0, 255, (TIMED_IMAGES, p.height, p.width, p.channels), dtype=np.uint8)
    detector.score(images[:16])
    started = monotonic()
    detector.score(images)
    return TIMED_IMAGES / (monotonic() - started)


def measure_baselines(folder: Path) -> Row:
    """Every trivial baseline on the images as the preset's models see them; all training images are theirs."""
    import numpy as np

    from benchmarks.baselines import BASELINES as TRIVIAL
    from daad.data.cache import cache_images
    from daad.data.decode import probe
    from daad.data.layouts import read_layout
    from daad.data.preprocess import Preprocess
    from daad.models.registry import model_class
    from daad.presets import preset_of

    train, test = read_layout(folder, split="train"), test_samples(folder)
    size = preset_of(model_class("ae"), "small").image_size
    preprocess = Preprocess.for_images([probe(sample) for sample in train], size)
    first, second = (
        np.asarray(cache_images(part, preprocess, None).images, dtype=np.float32) / 255 for part in (train, test)
    )
    labels = np.array([sample.label for sample in test])
    found = {name: auroc_of(labels, baseline(first, second)) for name, baseline in TRIVIAL.items()}
    return {"image_auroc": max(found.values()), "baselines": found}


def as_row(interval: Any) -> dict[str, float | None]:
    """An interval as JSON holds it; NaN is null."""
    values = {name: getattr(interval, name) for name in ("value", "low", "high")}
    return {name: None if value != value else round(value, 5) for name, value in values.items()}


LADDER = Suite("ladder", ("category", "model", "seed"), jobs(), measure)

if __name__ == "__main__":
    run_suite(LADDER, __doc__)
