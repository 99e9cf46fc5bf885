"""One class is normal, the other nine are not: MNIST, Fashion-MNIST and CIFAR-10, all classes.

    python -m benchmarks.one_class --data FOLDER

Preset `small` at 32 pixels on 1,000 seeded training images of the class: models learn from 800 and keep 200 for the
threshold, baselines have all; every test image of all ten classes. The CIFAR-10 copy is coded as JPEG and holds
1,000 + 500 images a class, so its figures compare in tendency only.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.categories import auroc_of
from benchmarks.ladder import BASELINES, MODELS
from benchmarks.readings import papers_score, reading
from benchmarks.suite import Job, Row, Suite, run_suite

SIDE = 32
TRAINING_IMAGES = 1000
SCORING_BATCH = 250
CLASSES = range(10)
IDX_FOLDERS = {"mnist": "mnist", "fashion_mnist": "fashion_mnist"}
CIFAR = "cifar10/cifar10_subset_jpeg.zip"
DATASETS = (*IDX_FOLDERS, "cifar10")
SEEDS = (0,)
Ints = npt.NDArray[np.uint8]


def measure(data: Path, job: Job) -> Row:
    """One model, or the baselines, with one class as the normal one."""
    images, labels = load(data, job["dataset"], "train")
    mine = np.flatnonzero(labels == job["normal"])
    rng = np.random.default_rng([job["seed"], job["normal"]])
    train = images[np.sort(rng.choice(mine, min(TRAINING_IMAGES, len(mine)), replace=False))]
    test, test_labels = load(data, job["dataset"], "test")
    anomalous = (test_labels != job["normal"]).astype(int)
    counts = {"train": len(train), "good": int((anomalous == 0).sum()), "anomalous": int(anomalous.sum())}
    if job["model"] == BASELINES:
        return {"image_auroc": baselines(train, test, anomalous), "images": counts}
    return {**fitted(train, test, anomalous, job), "images": counts}


def fitted(train: Ints, test: Ints, anomalous: Any, job: Job) -> Row:
    """Image AUROC of a model by each reading of its weights."""
    from daad import Detector

    blocks = {"patch": SIDE // 2} if job["model"].startswith("daad") else {}  # half the side, as the preset's at 64
    detector = Detector.fit(train, model=job["model"], image_size=SIDE, seed=job["seed"], **blocks)
    prepared = np.stack([detector.preprocess.apply(image) for image in test])
    training = detector.provenance["training"]
    readings: dict[str, dict[str, Any]] = {"paper's": papers_score(job["model"]), "preset's": {}}
    return {
        "image_auroc": {
            name: round(auroc_of(anomalous, scores(reading(detector, changes), prepared)), 5)
            for name, changes in readings.items()
        },
        "train_seconds": round(training["seconds"], 1),
        "train_steps": training["steps"],
        "last_losses": training["last_terms"],
    }


def scores(detector: Any, images: Ints) -> npt.NDArray[np.float64]:
    """Raw scores of images as the model sees them."""
    parts = [images[i : i + SCORING_BATCH] for i in range(0, len(images), SCORING_BATCH)]
    return np.concatenate([detector.scorer(part).score for part in parts])


def baselines(train: Ints, test: Ints, anomalous: Any) -> dict[str, float]:
    """Every trivial baseline at the images' own size."""
    from benchmarks.baselines import BASELINES as TRIVIAL

    first, second = train.astype(np.float32) / 255, test.astype(np.float32) / 255
    return {name: round(auroc_of(anomalous, baseline(first, second)), 5) for name, baseline in TRIVIAL.items()}


def load(data: Path, dataset: str, split: str) -> tuple[Ints, npt.NDArray[np.int64]]:
    """Images (N, H, W, C) and classes (N,) of a split, "train" or "test"."""
    return _cifar(data / CIFAR, split) if dataset == "cifar10" else _idx(data / IDX_FOLDERS[dataset], split)


def _idx(folder: Path, split: str) -> tuple[Ints, npt.NDArray[np.int64]]:
    prefix = "train" if split == "train" else "t10k"
    return read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")[..., None], read_idx(
        folder / f"{prefix}-labels-idx1-ubyte.gz"
    ).astype(np.int64)


def read_idx(path: Path) -> Ints:
    """An array in the IDX format, gzipped."""
    content = gzip.decompress(path.read_bytes())
    dimensions = content[3]
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


@cache
def _cifar(path: Path, split: str) -> tuple[Ints, npt.NDArray[np.int64]]:
    from PIL import Image

    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith(f"{split}/") and name.endswith(".jpg"))
        classes = sorted({name.split("/")[1] for name in names})
        images = [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names]
    return np.stack(images), np.array([classes.index(name.split("/")[1]) for name in names])


JOBS = [
    {"dataset": dataset, "normal": normal, "model": model, "seed": seed}
    for seed, dataset, model, normal in product(SEEDS, DATASETS, (BASELINES, *MODELS, "mcod"), CLASSES)
]
SUITE = Suite("one_class", ("dataset", "normal", "model", "seed"), JOBS, measure)

if __name__ == "__main__":
    run_suite(SUITE, __doc__)
