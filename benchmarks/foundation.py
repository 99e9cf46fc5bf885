"""The five models on six categories, three seeds each, with trivial baselines beside them.

    python -m benchmarks.foundation --data FOLDER          (make bench DATA=FOLDER)

Every run is a process of its own on one thread, so that as many run at once as there are cores. Each finished run is
kept at once in benchmarks/results/foundation.json; a run that is already there is skipped, so the command can be
stopped and started. A run that fails leaves a row that says why.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from benchmarks.readings import reading

RESULTS = Path(__file__).parent / "results" / "foundation.json"
CATEGORIES = {
    "screw": "mvtec_ad_partial/screw",
    "magnetic_tile": "magnetic_tile/magnetic_tile",
    "commutator": "kolektor_sdd/commutator",
    "pcb": "deep_pcb/pcb",
    "elpv mono": "elpv_solar/mono",
    "elpv poly": "elpv_solar/poly",
}
MODELS = ("ae", "ae-skip", "memae", "daad", "daad+")
SEEDS = (0, 1, 2)
TIMED_IMAGES = 64

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the categories")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--categories", nargs="+", default=list(CATEGORIES), choices=list(CATEGORIES))
    parser.add_argument("--models", nargs="+", default=["baselines", *MODELS])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--one", nargs=3, metavar=("CATEGORY", "MODEL", "SEED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        category, model, seed = arguments.one
        print(json.dumps(measure(arguments.data / CATEGORIES[category], category, model, int(seed))))
        return
    wanted = [
        (category, model, seed)
        for seed, category, model in product(arguments.seeds, arguments.categories, arguments.models)
        if model != "baselines" or seed == 0  # they have no seed
    ]
    run_all(wanted, arguments.data, arguments.results, arguments.processes)


def run_all(wanted: list[tuple[str, str, int]], data: Path, results: Path, processes: int) -> None:
    """Run what is missing, a few processes at a time, and keep each row as it comes."""
    rows = {key(row): row for row in read_rows(results)}
    missing = [job for job in wanted if job not in rows or "error" in rows[job]]
    lock = Lock()

    def one(job: tuple[str, str, int]) -> None:
        row = in_own_process(job, data)
        with lock:
            rows[job] = row
            write_rows(results, list(rows.values()))
            print(f"{job}: {row.get('error') or row['image_auroc']}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(one, missing))


def in_own_process(job: tuple[str, str, int], data: Path) -> Row:
    command = [sys.executable, "-m", "benchmarks.foundation", "--data", str(data), "--one", *map(str, job)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"category": job[0], "model": job[1], "seed": job[2], "error": f"exit {done.returncode}: {last}"}
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def measure(folder: Path, category: str, model: str, seed: int) -> Row:
    """One row; where it cannot be made, one that says why."""
    import torch

    torch.set_num_threads(1)
    head = {"category": category, "model": model, "seed": seed}
    try:
        measured = measure_baselines(folder) if model == "baselines" else measure_model(folder, model, seed)
    except Exception as error:
        traceback.print_exc()
        return {**head, "error": f"{type(error).__name__}: {error}"}
    from benchmarks.machine import provenance

    return {**head, **measured, "provenance": provenance()}


def measure_model(folder: Path, model: str, seed: int) -> Row:
    """Fit with the preset as it is, evaluate the last step; both score reductions are read from the same weights."""
    from daad import Detector

    detector = Detector.fit(folder, model=model, preset="small", seed=seed)
    evaluation = detector.evaluate(folder)
    labels, scores = evaluation.arrays()
    own, other = detector.model.config.reduction, "max" if detector.model.config.reduction == "mean" else "mean"
    aurocs = {own: scores, other: reading(detector, {"reduction": other}).decision_function(test_images(folder))}
    training = detector.provenance["training"]
    return {
        "image_auroc": evaluation.metrics["image_auroc"].value,
        "image_auroc_by_reduction": {name: auroc_of(labels, values) for name, values in sorted(aurocs.items())},
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


def test_images(folder: Path) -> list[Any]:
    from daad.detector.evaluation import labelled

    return labelled(folder)


def auroc_of(labels: Any, scores: Any) -> float:
    from daad.metrics.ranking import auroc

    return auroc(labels, scores)


def images_per_second(detector: Any) -> float:
    """Scoring pace from arrays at the model's size to predictions with regions, batches of 16, one thread."""
    import numpy as np

    p = detector.preprocess
    images = np.random.default_rng(0).integers(0, 255, (TIMED_IMAGES, p.height, p.width, p.channels), dtype=np.uint8)
    detector.decision_function(images[:16])
    started = monotonic()
    detector.decision_function(images)
    return TIMED_IMAGES / (monotonic() - started)


def measure_baselines(folder: Path) -> Row:
    """Every trivial baseline on the images as the preset's models see them; all training images are theirs."""
    import numpy as np

    from benchmarks.baselines import BASELINES
    from daad.data.cache import cache_images
    from daad.data.decode import probe
    from daad.data.layouts import read_layout
    from daad.data.preprocess import Preprocess
    from daad.models.base import preset
    from daad.models.registry import model_class

    train, test = read_layout(folder, split="train"), test_images(folder)
    size = preset(model_class("ae"), "small").image_size
    preprocess = Preprocess.for_images([probe(sample) for sample in train], size)
    first, second = (
        np.asarray(cache_images(part, preprocess, None).images, dtype=np.float32) / 255 for part in (train, test)
    )
    labels = np.array([sample.label for sample in test])
    found = {name: auroc_of(labels, baseline(first, second)) for name, baseline in BASELINES.items()}
    return {"image_auroc": max(found.values()), "baselines": found}


def as_row(interval: Any) -> dict[str, float | None]:
    values = {name: getattr(interval, name) for name in ("value", "low", "high")}
    return {name: None if value != value else round(value, 5) for name, value in values.items()}


def key(row: Row) -> tuple[str, str, int]:
    return row["category"], row["model"], row["seed"]


def read_rows(path: Path) -> list[Row]:
    return json.loads(path.read_text())["rows"] if path.is_file() else []


def write_rows(path: Path, rows: list[Row]) -> None:
    """The whole file anew, then in place of the old one."""
    text = json.dumps({"schema": 1, "suite": "foundation", "rows": sorted(rows, key=key)}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text + "\n")
    temporary.replace(path)


if __name__ == "__main__":
    main()
