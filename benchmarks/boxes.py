"""SCOD's claims: weak segmentation by scale beats one mask for all, and its loss of overlap lifts AP75 most.

    python -m benchmarks.boxes --data FOLDER

Preset `small`, 20 epochs, last step; nothing is chosen on test images. Boxes of all scales (neu_det), boxes of nearly
one scale as a control (deep_pcb), and the masks of magnetic_tile turned into boxes of five kinds. Two of the methods
also learn tiles of deep_pcb at full resolution.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.suite import Job, Row, Suite, run_suite

DATA = {"neu_det": "neu_det", "deep_pcb": "deep_pcb_boxes", "magnetic_tile": "magnetic_tile/magnetic_tile"}
TILED = "deep_pcb in tiles"
EPOCHS, TILE, TILE_EPOCHS = 20, 160, 10  # tiles and whole boards: about as many pixels go through the network
SETTINGS: dict[str, dict[str, Any]] = {
    "neu_det": {"image_size": 160, "epochs": EPOCHS},
    "deep_pcb": {"image_size": 256, "epochs": EPOCHS},
    "magnetic_tile": {"image_size": 160, "epochs": EPOCHS},
    TILED: {"tile": TILE, "epochs": TILE_EPOCHS},
}
SEEDS = (0, 1, 2)
PLAIN = {"segmentation": "none", "overlap_loss": "none"}
PLAIN_SSD, WHOLE = "SSD", "+ masks by scale and hiou"
METHODS: dict[str, dict[str, Any]] = {
    PLAIN_SSD: PLAIN,
    "+ one mask for all scales": {**PLAIN, "segmentation": "shared"},
    "+ masks by scale": {**PLAIN, "segmentation": "by_scale"},
    "+ IoU": {**PLAIN, "overlap_loss": "iou"},
    "+ hiou": {**PLAIN, "overlap_loss": "hiou"},
    "+ pow": {**PLAIN, "overlap_loss": "pow"},
    "+ riou": {**PLAIN, "overlap_loss": "riou"},
    WHOLE: {"segmentation": "by_scale", "overlap_loss": "hiou"},
}


def measure(data: Path, job: Job) -> Row:
    """One detector on one data set."""
    from daad import BoxDetector

    folder = data / DATA[job["data"].split()[0]]
    detector = BoxDetector.fit(folder, seed=job["seed"], **SETTINGS[job["data"]], **METHODS[job["method"]])
    evaluation = detector.evaluate(folder)
    training, confidence = detector.provenance["training"], detector.confidence
    return {
        **evaluation.as_dict(),
        "notes": [note for note in evaluation.notes if "learnt from" in note],
        "held_out_f1": confidence.f1,
        "parameters": sum(parameter.numel() for parameter in detector.model.parameters()),
        "train_seconds": round(training["seconds"], 1),
        "train_steps": training["steps"],
        "last_losses": training["last_terms"],
    }


JOBS: list[Job] = [
    {"data": data, "method": method, "seed": seed}
    for seed, data, method in product(SEEDS, SETTINGS, METHODS)
    if data != TILED or method in (PLAIN_SSD, WHOLE)
]
SUITE = Suite("boxes", ("data", "method", "seed"), JOBS, measure, timeout_s=7200)

if __name__ == "__main__":
    run_suite(SUITE, __doc__)
