"""How a detector comes about: good images in; part trains the model, the held-out rest calibrates it.

layout -> probe -> Preprocess -> cache -> hold out -> train -> score held-out -> Calibration -> Fitted
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import nn

from daad.data.cache import CachedImages
from daad.data.preprocess import Preprocess
from daad.data.sample import Failure
from daad.data.splits import hold_out
from daad.detector.learning import Part, learn, make_ready, part_of
from daad.detector.plan import FitPlan, Progress, RunOptions, silent
from daad.detector.scorer import score_all
from daad.models.base import AnomalyModel
from daad.scoring.calibration import Calibration
from daad.training.loop import TrainingSummary

CALIBRATION_BATCH = 16


@dataclass(frozen=True)
class Fitted:
    """What a fit gives: the parts of a detector."""

    model: AnomalyModel
    preprocess: Preprocess
    calibration: Calibration
    provenance: dict[str, Any]
    failures: list[Failure]


def fit(
    data: Any,
    plan: FitPlan,
    options: RunOptions,
    progress: Progress | None = None,
    network: nn.Module | None = None,
) -> Fitted:
    """Learn a detector from good images; see `Detector.fit` for the arguments and errors."""
    report = progress or silent
    ready = make_ready(data, plan, options, report, network)
    training, held_out = _split(ready.cached, plan)
    summary = learn(ready.model, training, plan, options, ready.preprocess, report)
    calibration = _calibrate(ready.model, ready.preprocess, held_out, plan, report)
    provenance = _provenance(plan, ready.model, training, held_out, summary, ready.failures)
    return Fitted(ready.model.requires_grad_(False), ready.preprocess, calibration, provenance, ready.failures)


def _split(cached: CachedImages, plan: FitPlan) -> tuple[Part, Part]:
    """Hold out after decoding, so that an image which turns out unreadable costs neither part anything."""
    training, _ = hold_out(cached.samples, plan.holdout, plan.seed)
    names = {sample.name for sample in training}
    is_learn = np.array([sample.name in names for sample in cached.samples])
    return part_of(cached, np.flatnonzero(is_learn)), part_of(cached, np.flatnonzero(~is_learn))


def _calibrate(
    model: AnomalyModel, preprocess: Preprocess, held_out: Part, plan: FitPlan, report: Progress
) -> Calibration:
    total = len(held_out)

    def batches() -> Iterator[Any]:
        for start in range(0, total, CALIBRATION_BATCH):
            yield held_out.images[held_out.rows[start : start + CALIBRATION_BATCH]]
            report("calibrate", min(start + CALIBRATION_BATCH, total), total)

    scores, peaks = zip(*score_all(model, preprocess, batches()), strict=True)
    return Calibration.from_normals(scores, peaks, plan.false_alarm_rate)


def _provenance(
    plan: FitPlan,
    model: AnomalyModel,
    training: Part,
    held_out: Part,
    summary: TrainingSummary,
    failures: list[Failure],
) -> dict[str, Any]:
    chosen = model.config.model_dump(mode="json", include=set(plan.settings))
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": plan.seed,
        "preset": plan.preset,
        "settings": chosen,
        "images": {"fit": len(training), "calibration": len(held_out), "unreadable": len(failures)},
        "data_fingerprint": {"fit": training.fingerprint, "calibration": held_out.fingerprint},
        "training": asdict(summary),
        "versions": {name: version(name) for name in ("daad", "torch", "numpy", "pillow")},
        "machine": {
            "platform": platform.platform(),
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
            "cpu": torch.backends.cpu.get_cpu_capability(),
        },
    }
