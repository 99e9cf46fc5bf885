"""How a detector comes about: good images in; part trains the model, the held-out rest calibrates it.

layout -> headers -> Preprocess -> cache -> hold out -> train -> score held-out -> Calibration -> Fitted
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from daad.data.decode import decode
from daad.data.preprocess import Preprocess
from daad.data.sample import Failure, Sample
from daad.data.splits import hold_out
from daad.detector.learning import Ready, Subset, learn, make_ready, mentioning, subset
from daad.detector.options import FitPlan, RunOptions
from daad.detector.provenance import made_here
from daad.detector.selection import tile_samples
from daad.errors import DataError, ImageError
from daad.models.base import AnomalyModel
from daad.models.feature_model import FeatureModel
from daad.runtime.engines.torch import TorchScorer
from daad.runtime.progress import Progress, silent
from daad.runtime.scorer import Scorer, score_all
from daad.runtime.tiled import score_by_tiles
from daad.scoring.calibration import Calibration, Unit
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


def fit(data: Any, plan: FitPlan, options: RunOptions, progress: Progress | None = None) -> Fitted:
    """Learn a detector from good images; see `Detector.fit` for the arguments and errors."""
    report = progress or silent
    ready = make_ready(data, plan, options, report)
    training, held_out = _split(ready, plan)
    with mentioning(ready.failures):
        summary = learn(ready.model, training, plan, options, ready.preprocess, report)
    scorer = TorchScorer(ready.model)
    if held_out is None:
        calibration, failures = _calibrate_untiled(scorer, ready, plan, report)
    else:
        calibration, failures = _calibrate(scorer, ready, held_out, plan, report), []
    failures = [*ready.failures, *failures]
    provenance = _provenance(plan, ready, training, held_out, summary, failures)
    return Fitted(ready.model.requires_grad_(False), ready.preprocess, calibration, provenance, failures)


def _split(ready: Ready, plan: FitPlan) -> tuple[Subset, Subset | None]:
    """Hold out after decoding, so that an image which turns out unreadable costs neither part anything. None where
    whole images are held out of tiled ones: they are not among what was prepared."""
    cached, tiling = ready.cached, ready.preprocess.tiles
    if ready.untiled:
        return subset(cached, np.arange(len(cached.samples))), None
    samples = cached.samples if tiling is None else tile_samples(cached, tiling)
    training, _ = hold_out(samples, plan.holdout, plan.seed)
    names = {sample.name for sample in training}
    is_learn = np.array([sample.name in names for sample in samples])
    return subset(cached, np.flatnonzero(is_learn)), subset(cached, np.flatnonzero(~is_learn))


def _calibrate(scorer: Scorer, ready: Ready, held_out: Subset, plan: FitPlan, report: Progress) -> Calibration:
    total = len(held_out)

    def batches() -> Iterator[Any]:
        for start in range(0, total, CALIBRATION_BATCH):
            yield held_out.images[held_out.rows[start : start + CALIBRATION_BATCH]]
            report("calibrate", min(start + CALIBRATION_BATCH, total), total)

    scores, peaks = zip(*score_all(scorer, batches()), strict=True)
    unit: Unit = "image" if ready.preprocess.tiles is None else "tile"
    return Calibration.from_normals(scores, peaks, plan.false_alarm_rate, unit)


def _calibrate_untiled(
    scorer: Scorer, ready: Ready, plan: FitPlan, report: Progress
) -> tuple[Calibration, list[Failure]]:
    """Judge the images that were kept aside as any new image will be judged, tile by tile."""
    scores, peaks, failures = [], [], []
    for done, sample in enumerate(ready.untiled, start=1):
        try:
            scored = score_by_tiles(scorer, ready.preprocess, sample)
        except ImageError as error:
            failures.append(Failure(sample.name, str(error)))
        else:
            scores.append(scored.score)
            peaks.append(float(scored.anomaly_map.max()))
        report("calibrate", done, len(ready.untiled))
    if not scores:
        raise DataError(
            f"none of the {len(ready.untiled)} held-out images can be read; the first: {failures[0].reason}"
        )
    return Calibration.from_normals(scores, peaks, plan.false_alarm_rate), failures


def _provenance(
    plan: FitPlan,
    ready: Ready,
    training: Subset,
    held_out: Subset | None,
    summary: TrainingSummary,
    failures: list[Failure],
) -> dict[str, Any]:
    chosen = ready.model.config.model_dump(mode="json", include=set(plan.settings))
    features = {"features": ready.model.features.spec().as_dict()} if isinstance(ready.model, FeatureModel) else {}
    return {
        **made_here(),
        "seed": plan.seed,
        "preset": plan.preset,
        "settings": chosen,
        **features,
        **_counts(ready, training, held_out, failures),
        "data_fingerprint": {
            "fit": training.fingerprint,
            "calibration": held_out.fingerprint if held_out else _fingerprint(ready.untiled),
        },
        "training": asdict(summary),
    }


def _counts(ready: Ready, training: Subset, held_out: Subset | None, failures: list[Failure]) -> dict[str, Any]:
    """How many images, and tiles of them, each part had."""
    if ready.preprocess.tiles is None:
        assert held_out is not None
        return {"images": {"fit": len(training), "calibration": len(held_out), "unreadable": len(failures)}}
    images = {sample.name for sample in ready.cached.samples}
    tiles = {"fit": len(training), "calibration": len(held_out) if held_out else 0}
    calibration = len(images) if held_out else len(ready.untiled)
    return {"images": {"fit": len(images), "calibration": calibration, "unreadable": len(failures)}, "tiles": tiles}


def _fingerprint(samples: list[Sample]) -> str:
    """The sha256 of names and files, or pixels, of images that are not in the cache."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(sample.name.encode("utf-8", "surrogatepass"))
        try:
            content = sample.image.read_bytes() if isinstance(sample.image, Path) else decode(sample.image).tobytes()
        except (OSError, ImageError):
            continue  # it is among the failures
        digest.update(content)
    return digest.hexdigest()
