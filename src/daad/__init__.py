"""daad: learn what good looks like from your own good images; tell of a new one whether something is wrong, where,
and how sure that is. Nothing is imported until it is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from daad.data.preprocess import Preprocess
    from daad.data.sample import Sample
    from daad.detector.detector import Detector
    from daad.detector.evaluation import Evaluation
    from daad.errors import ArtifactError, ConfigError, DaadError, DataError, ImageError, TrainingError
    from daad.metrics.intervals import Interval
    from daad.models.base import AnomalyModel
    from daad.pool.audit import Audit
    from daad.pool.estimator import MCODDetector
    from daad.scoring.calibration import Calibration
    from daad.scoring.prediction import Prediction, Region

_HOMES = {
    "AnomalyModel": "daad.models.base",
    "ArtifactError": "daad.errors",
    "Audit": "daad.pool.audit",
    "Calibration": "daad.scoring.calibration",
    "ConfigError": "daad.errors",
    "DaadError": "daad.errors",
    "DataError": "daad.errors",
    "Detector": "daad.detector.detector",
    "Evaluation": "daad.detector.evaluation",
    "ImageError": "daad.errors",
    "Interval": "daad.metrics.intervals",
    "MCODDetector": "daad.pool.estimator",
    "Prediction": "daad.scoring.prediction",
    "Preprocess": "daad.data.preprocess",
    "Region": "daad.scoring.prediction",
    "Sample": "daad.data.sample",
    "TrainingError": "daad.errors",
}

__all__ = [
    "AnomalyModel",
    "ArtifactError",
    "Audit",
    "Calibration",
    "ConfigError",
    "DaadError",
    "DataError",
    "Detector",
    "Evaluation",
    "ImageError",
    "Interval",
    "MCODDetector",
    "Prediction",
    "Preprocess",
    "Region",
    "Sample",
    "TrainingError",
    "__version__",
    "audit",
    "load",
    "models",
]
__version__ = "0.1.0"


def load(path: str | Path) -> Detector:
    """Read a saved detector; the same as `Detector.load`."""
    from daad.detector.detector import Detector

    return Detector.load(path)


def audit(
    data: Any,
    *,
    model: str = "daad",
    preset: str = "small",
    contamination: float = 0.05,
    image_size: int | tuple[int, int] | None = None,
    seed: int = 0,
    precision: Any = "auto",
    accelerator: str = "auto",
    run: str | Path | None = None,
    resume: bool = False,
    checkpoint_every: int = 200,
    cache: bool = True,
    progress: Any = None,
    **settings: Any,
) -> Audit:
    """Rank a pool of images that should all be good by how unlike the rest they are: learn from all of them, with no
    label, and score the same ones. Model `daad` looks for odd places in images, `mcod` for odd images as wholes.

    `data`, `image_size`, `run` and what follows it are as in `Detector.fit`; `settings` are those of the model.
    `contamination`, above 0 and at most 0.5, is the share of images to call suspect: it moves no score.
    Raises DataError, ConfigError, TrainingError, ArtifactError.
    """
    from pathlib import Path

    from daad.detector.plan import RunOptions
    from daad.pool.audit import AuditPlan, audit_pool

    plan = AuditPlan.make(
        model=model,
        preset=preset,
        contamination=contamination,
        image_size=image_size,
        seed=seed,
        precision=precision,
        accelerator=accelerator,
        settings=settings,
    )
    folder = None if run is None else Path(run)
    options = RunOptions.make(folder=folder, resume=resume, checkpoint_every=checkpoint_every, cache=cache)
    return audit_pool(data, plan, options, progress)


def models() -> dict[str, str]:
    """The names of all models, each with one line on what it is."""
    from daad.models.registry import MODELS

    return {name: entry.summary for name, entry in MODELS.items()}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'daad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
