"""MCOD in a contaminated pool, by E3Outlier's protocol: train and score on the same images, no labels.

    python -m benchmarks.outliers --data FOLDER

Preset `small` at 32 pixels; 500 seeded images of a class from the training split, and outliers from the other classes
so that they are a share p of the pool. Last step, no class left out. `official` has the released constants in the small
network at the small length: its losses, temperatures, noise and batch statistics, not its full schedule. The CIFAR-10
copy is coded as JPEG, so its figures compare in tendency only.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.categories import auroc_of
from benchmarks.one_class import DATASETS, load
from benchmarks.suite import Job, Row, Suite, run_suite

NORMALS = 500
CLASSES = (0, 2, 4, 6, 8)
SHARES = (0.1, 0.05, 0.2)
SEEDS = (0, 1, 2)
NEIGHBOURS = 5
TRIVIAL = "baselines"
STABLE = "mcod"
VARIANTS: dict[str, dict[str, Any]] = {
    STABLE: {},
    "mcod without memory": {"use_memory": False},
    "mcod without contrast": {"use_contrast": False},
    "mcod official": {},
}
AUTOENCODERS = ("ae", "daad")
Scores = npt.NDArray[np.float64]


def measure(data: Path, job: Job) -> Row:
    """How well one method ranks one pool."""
    from benchmarks.contaminate import contaminate

    images, labels = load(data, job["dataset"], "train")
    rows, odd = contaminate(labels, job["normal"], job["share"], job["seed"], normals=NORMALS)
    pool = images[rows]
    counts = {"images": len(pool), "outliers": int(odd.sum())}
    if job["method"] == TRIVIAL:
        return {"scores": {name: ranked(odd, found) for name, found in baselines(pool, job["seed"]).items()}, **counts}
    found, training = fitted(pool, job)
    return {"scores": {name: ranked(odd, scores) for name, scores in found.items()}, **counts, **training}


def fitted(pool: npt.NDArray[Any], job: Job) -> tuple[dict[str, Scores], Row]:
    """Scores of the pool by a model learnt from it; for MCOD also by the nearest neighbours of its features, and by the
    plain distance of the paper."""
    from daad import audit

    method = job["method"]
    settings = {**VARIANTS.get(method, {}), **(official() if method == "mcod official" else {})}
    name = method if method in AUTOENCODERS else "mcod"
    blocks = {"patch": 16} if name == "daad" else {}  # half the side, as the preset's at 64
    found = audit(pool, model=name, image_size=32, seed=job["seed"], **settings, **blocks)
    by_name = {row.name: row.score for row in found.rows}
    scores = {"score": np.array([by_name[f"array[{i}]"] for i in range(len(pool))])}
    if name == "mcod":
        prepared = np.stack([found.preprocess.apply(image) for image in pool])
        feature, apart = encoded(found.scorer.model, prepared)
        scores["neighbours"] = neighbour_distance(feature)
        if found.scorer.model.config.standardise:
            scores["plain"] = apart
    training = found.provenance["training"]
    facts = {"prototype_cosine": prototype_cosine(found.scorer.model)} if name == "mcod" else {}
    return scores, {"train_seconds": round(training["seconds"], 1), "last_losses": training["last_terms"], **facts}


def prototype_cosine(model: Any) -> float:
    """How alike the memory's prototypes are: mean cosine between two of them, 1 where all are one."""
    items = model.memory.items.double().numpy()
    items = items / np.linalg.norm(items, axis=1, keepdims=True)
    others = ~np.eye(len(items), dtype=bool)
    return round(float((items @ items.T)[others].mean()), 5)


def official() -> dict[str, Any]:
    """The released constants."""
    from daad.models.mcod.model import OFFICIAL

    return dict(OFFICIAL)


def encoded(model: Any, images: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], Scores]:
    """f of every image (N, D), in the units that MCOD's `score=neighbours` measures in, and the paper's
    |f - f_hat|^2 (N,); `images` as the model sees them."""
    import torch

    from daad.data.preprocess import to_float
    from daad.models.mcod.whitening import Whitening

    with torch.inference_mode():
        parts = [model.encoder(torch.from_numpy(to_float(images[i : i + 64])))[1::2] for i in range(0, len(images), 64)]
        feature, logits = (torch.cat(each) for each in zip(*parts, strict=True))
        apart = (feature - model.memory.read(logits)).square().sum(dim=1)
        if model.config.standardise:
            whitening = Whitening(feature.shape[1])
            whitening.fit(feature, model.config.support_fraction)
            feature = whitening(feature)
    return feature.double().numpy(), apart.double().numpy()


def neighbour_distance(rows: npt.NDArray[Any]) -> Scores:
    """Mean Euclidean distance from the five nearest other rows."""
    from scipy.spatial.distance import cdist

    distances = cdist(rows, rows)
    np.fill_diagonal(distances, np.inf)
    return np.sort(distances, axis=1)[:, :NEIGHBOURS].mean(axis=1)


def baselines(pool: npt.NDArray[Any], seed: int) -> dict[str, Scores]:
    """What needs no learning of features."""
    from sklearn.ensemble import IsolationForest

    pixels = pool.reshape(len(pool), -1).astype(np.float64) / 255
    forest = IsolationForest(random_state=seed).fit(pixels)
    return {
        "pixel isolation forest": -forest.score_samples(pixels),
        "pixel-knn": neighbour_distance(pixels),
        "mean-image": np.square(pixels - pixels.mean(axis=0)).mean(axis=1),
        "pixel-mahalanobis": mahalanobis(pixels),
        "pixel-mahalanobis, robust": robust_mahalanobis(pixels),
    }


def mahalanobis(rows: npt.NDArray[Any]) -> Scores:
    """Squared Mahalanobis distance of each row from their mean, covariance shrunk by OAS."""
    from sklearn.covariance import oas

    covariance, _ = oas(rows)
    apart = rows - rows.mean(axis=0)
    found: Scores = (apart * np.linalg.solve(covariance, apart.T).T).sum(axis=1)
    return found


def robust_mahalanobis(rows: npt.NDArray[Any]) -> Scores:
    """The same in the space that the rows span, with mean and covariance of three quarters of them, as MCOD has it."""
    import torch

    from daad.models.mcod.whitening import Whitening
    from daad.models.registry import MODELS

    left, lengths, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    turned = torch.from_numpy(left * lengths).float()
    whitening = Whitening(turned.shape[1])
    whitening.fit(turned, MODELS["mcod"].audit["support_fraction"])
    return whitening(turned - whitening.bias).square().sum(dim=1).double().numpy()


def ranked(odd: npt.NDArray[np.bool_], scores: Scores) -> dict[str, float]:
    """AUROC, and the area under precision and recall with outliers, and with normal images, as the positive class."""
    from daad.metrics.ranking import average_precision

    return {
        "auroc": auroc_of(odd.astype(int), scores),
        "aupr_outliers": float(average_precision(odd.astype(int), scores)),
        "aupr_normals": float(average_precision((~odd).astype(int), -scores)),
    }


METHODS = (TRIVIAL, *VARIANTS, *AUTOENCODERS)
AT_ONE_SHARE = "daad"  # no part of the comparison by shares
JOBS: list[Job] = [
    {"dataset": dataset, "share": share, "normal": normal, "method": method, "seed": seed}
    for share, seed, dataset, method, normal in product(SHARES, SEEDS, DATASETS, METHODS, CLASSES)
    if share == SHARES[0] or method != AT_ONE_SHARE
]
SUITE = Suite("outliers", ("dataset", "share", "normal", "method", "seed"), JOBS, measure)

if __name__ == "__main__":
    run_suite(SUITE, __doc__)
