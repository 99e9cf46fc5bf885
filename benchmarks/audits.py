"""What an audit finds among good training images with true defects mixed in, and what cleaning is worth to DAAD+.

    python -m benchmarks.audits --data FOLDER

Half of a category's defective test images, by chance, are what may be mixed in; DAAD+ is measured on the other half and
the good test images, so nothing that was trained on is tested on. An audit is told nothing; as many images as were
mixed in are then dropped from the top of its ranking, and DAAD+ learns from the rest. Beside it: DAAD+ from the clean
images, and from the contaminated ones as they are. One training of MCOD gives two rankings, by its memory and by
nearest neighbours in its features.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.categories import auroc_of, folder_of, test_samples
from benchmarks.outliers import encoded, neighbour_distance, ranked
from benchmarks.suite import Job, Row, Suite, run_suite

CATEGORIES = ("magnetic_tile", "commutator", "elpv mono")
SHARES = (0.05, 0.1, 0.02)
SEEDS = (0, 1)
CLEAN, CONTAMINATED, PIXELS, MCOD = "clean", "contaminated", "pixel-knn", "mcod"
AUDITS: dict[str, dict[str, Any]] = {
    MCOD: {"model": "mcod"},
    "padim random": {"model": "padim", "features": "random"},
    "ae": {"model": "ae"},
    "daad": {"model": "daad"},
    PIXELS: {},
}
LEARNT_FROM = (CLEAN, CONTAMINATED, MCOD, "ae", "daad")  # what DAAD+ is trained on, the costly part
TOP = 10


def measure(data: Path, job: Job) -> Row:
    """One audit of one pool, and DAAD+ from what it leaves."""
    from daad import Detector
    from daad.data.layouts import read_layout

    folder = folder_of(data, job["category"])
    good = read_layout(folder, split="train")
    odd, test = mixed_in(test_samples(folder), len(good), job["share"], job["seed"])
    samples = good if job["method"] == CLEAN else [*good, *odd]
    found: Row = {"images": len(samples), "mixed_in": len(odd)}
    if job["method"] in AUDITS:
        rankings, seconds = audited(samples, job)
        is_odd = np.array([False] * len(good) + [True] * len(odd))
        found |= {"rankings": {name: ranking(is_odd, scores) for name, scores in rankings.items()}}
        found |= {"audit_seconds": seconds}
        order = np.argsort(-rankings[job["method"]], kind="stable")
        samples = [samples[i] for i in sorted(order[len(odd) :].tolist())]
    if job["method"] not in LEARNT_FROM:
        return found
    detector = Detector.fit(samples, model="daad+", seed=job["seed"])
    scores = detector.score([sample.image for sample in test])
    found["daad+_image_auroc"] = round(auroc_of([sample.label for sample in test], scores), 5)
    found["train_seconds"] = round(detector.provenance["training"]["seconds"], 1)
    return found


def mixed_in(test: list[Any], good: int, share: float, seed: int) -> tuple[list[Any], list[Any]]:
    """(defective images that go into the pool, as if they were good; test images that are left)."""
    bad = [sample for sample in test if sample.label]
    order = np.random.default_rng(seed).permutation(len(bad))
    half = [bad[i] for i in order[: len(bad) // 2]]
    count = min(round(good * share / (1 - share)), len(half))
    disguised = [
        replace(sample, name=f"mixed in/{sample.name}", label=0, split="train", defect="good", mask=None)
        for sample in half[:count]
    ]
    return disguised, [*(s for s in test if not s.label), *(bad[i] for i in order[len(bad) // 2 :])]


def ranking(is_odd: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> Row:
    """How well scores put what was mixed in on top."""
    hits = is_odd[np.argsort(-scores, kind="stable")]
    at_k = {"precision_at_k": float(hits[: is_odd.sum()].mean()), "precision_at_10": float(hits[:TOP].mean())}
    return {**ranked(is_odd, scores), **at_k}


def audited(samples: list[Any], job: Job) -> tuple[dict[str, npt.NDArray[np.float64]], float | None]:
    """Scores for the samples, higher is more suspect, by the method's name and what else its training gives; and the
    seconds of training."""
    from daad import audit

    method = job["method"]
    if method == PIXELS:
        return {method: neighbour_distance(pixels(samples))}, None
    found = audit(samples, seed=job["seed"], **AUDITS[method])
    by_name = {row.name: row.score for row in found.rows}
    scores = {method: np.array([by_name[sample.name] for sample in samples])}
    if method == MCOD:
        features, _ = encoded(found.scorer.model, prepared(samples, found.preprocess))
        scores["mcod, neighbours"] = neighbour_distance(features)
    return scores, round(found.provenance["training"]["seconds"], 1)


def pixels(samples: list[Any]) -> npt.NDArray[np.float64]:
    """The images at 64 pixels as rows."""
    from daad.data.decode import probe
    from daad.data.preprocess import Preprocess

    images = prepared(samples, Preprocess.for_images([probe(sample) for sample in samples], 64))
    return images.reshape(len(images), -1).astype(np.float64) / 255


def prepared(samples: list[Any], preprocess: Any) -> npt.NDArray[Any]:
    """The images as a model sees them."""
    from daad.data.cache import cache_images

    return np.asarray(cache_images(samples, preprocess, None).images)


METHODS = (CLEAN, CONTAMINATED, *AUDITS)
JOBS: list[Job] = [
    {"category": category, "share": share, "method": method, "seed": seed}
    for seed, share, category, method in product(SEEDS, SHARES, CATEGORIES, METHODS)
    if method != CLEAN or share == SHARES[0]  # what is clean holds no share, and the test images are the same
]
SUITE = Suite("audits", ("category", "share", "method", "seed"), JOBS, measure)

if __name__ == "__main__":
    run_suite(SUITE, __doc__)
