"""What a user would take instead, on the same images: anomalib's from-scratch models and pretrained references.

    python -m benchmarks.peers --data FOLDER        (makes the peers' own environment in .peers/ the first time)

A peer sees the images that daad sees (the same files, held out alike, brought to the same size by the same code), has
the seconds that training daad+ took on this category (results/ladder.json), on one thread, and is judged by the same
calibration and metrics. The references use ImageNet weights, which daad does without; they are also shown with images
of 224 pixels, the size that their network was trained at.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.categories import CATEGORIES, folder_of
from benchmarks.ladder import LADDER, as_row
from benchmarks.peer_environment import peer_python
from benchmarks.suite import Job, Row, Suite, read_rows, run_suite

SEEDS = (0, 1, 2)
SIDE = 64
PEERS = {
    "ganomaly": ("ganomaly", SIDE),
    "draem": ("draem", SIDE),
    "padim-lite0 64 px": ("padim-lite0", SIDE),
    "patchcore-lite0 64 px": ("patchcore-lite0", SIDE),
    "padim-lite0 224 px": ("padim-lite0", 224),
    "patchcore-lite0 224 px": ("patchcore-lite0", 224),
}
HOLDOUT = 0.2
FALSE_ALARM_RATE = 0.05
BUDGET_S = 120.0  # where daad+ was not measured on the category
PATIENCE = 20  # a peer that takes so many times its budget is stopped
LEAST_TIMEOUT_S = 1800.0
WORKER = Path(__file__).parent / "peer_worker.py"


def measure(data: Path, job: Job) -> Row:
    """One peer on one category: its own process trains and scores, daad's metrics judge."""
    from daad.data.cache import cache_images
    from daad.data.decode import probe
    from daad.data.layouts import read_layout
    from daad.data.preprocess import Preprocess
    from daad.data.splits import hold_out
    from daad.runtime.evaluation import evaluate, labelled

    folder = folder_of(data, job["category"])
    peer, side = PEERS[job["model"]]
    train, test = read_layout(folder, split="train"), labelled(folder)
    preprocess = Preprocess.for_images([probe(sample) for sample in train], side)
    learn, kept = hold_out(train, HOLDOUT, job["seed"])
    images = {
        name: np.asarray(cache_images(part, preprocess, None).images)
        for name, part in (("train", learn), ("calibration", kept), ("test", test))
    }
    budget = budget_of(job["category"])
    found, about = run_peer(peer, images, job["seed"], budget)
    judged = judge(found, preprocess, [sample.image for sample in test])
    evaluation = evaluate(lambda samples: judged, folder)
    with_maps = "test_maps" in found
    return {
        "metrics": {
            name: as_row(interval)
            for name, interval in evaluation.metrics.items()
            if with_maps or not name.startswith(("pixel_", "aupro"))
        },
        "by_defect": {name: as_row(interval) for name, interval in evaluation.by_defect.items()},
        "images": {"fit": len(learn), "calibration": len(kept), **evaluation.counts},
        "size": [preprocess.height, preprocess.width],
        "budget_seconds": budget,
        **about,
    }


def run_peer(peer: str, images: dict[str, Any], seed: int, budget: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores and maps of a peer, and what it tells of its training. Raises RuntimeError where it crashes or hangs."""
    with tempfile.TemporaryDirectory() as name:
        inputs, outputs = Path(name) / "in.npz", Path(name) / "out.npz"
        np.savez(inputs, **images)
        command = [str(peer_python()), str(WORKER), peer, str(inputs), str(outputs)]
        limit = max(PATIENCE * budget, LEAST_TIMEOUT_S)
        try:
            done = subprocess.run(
                [*command, "--seed", str(seed), "--seconds", str(budget)],
                capture_output=True,
                text=True,
                check=False,
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the peer {peer} was stopped after {limit:.0f} s") from None
        if done.returncode or not outputs.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise RuntimeError(f"the peer {peer} ended with {done.returncode}: {last}")
        with np.load(outputs, allow_pickle=False) as file:
            found = {key: file[key] for key in file.files}
    return found, json.loads(str(found.pop("about")))


def judge(found: dict[str, Any], preprocess: Any, sources: list[Any]) -> Iterator[Any]:
    """Predictions from a peer's scores and maps, calibrated on its scores of the held-out normal images."""
    from daad.data.decode import decode
    from daad.scoring.calibration import Calibration
    from daad.scoring.prediction import Prediction

    peaks = found["calibration_maps"].max(axis=(1, 2)) if "calibration_maps" in found else found["calibration_scores"]
    calibration = Calibration.from_normals(found["calibration_scores"], peaks, FALSE_ALARM_RATE)
    for position, (score, source) in enumerate(zip(found["test_scores"].tolist(), sources, strict=True)):
        shape = decode(source).shape[:2]
        has_map = "test_maps" in found
        yield Prediction(
            str(position),
            score,
            calibration.p_value(score),
            score > calibration.threshold,
            anomaly_map=preprocess.map_to_image(found["test_maps"][position], shape)
            if has_map
            else np.zeros(shape, np.float32),
        )


def budget_of(category: str) -> float:
    """The seconds that training daad+ took on this category, mean of the seeds."""
    rows = [
        row["train_seconds"]
        for row in read_rows(LADDER.results)
        if row["category"] == category and row["model"] == "daad+" and "error" not in row
    ]
    return round(statistics.fmean(rows), 1) if rows else BUDGET_S


JOBS = [
    {"category": category, "model": model, "seed": seed} for seed, model, category in product(SEEDS, PEERS, CATEGORIES)
]
SUITE = Suite("peers", ("category", "model", "seed"), JOBS, measure, timeout_s=4 * 3600, prepare=peer_python)

if __name__ == "__main__":
    run_suite(SUITE, __doc__)
