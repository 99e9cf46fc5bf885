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
    from daad.scoring.calibration import Calibration
    from daad.scoring.prediction import Prediction, Region

_HOMES = {
    "AnomalyModel": "daad.models.base",
    "ArtifactError": "daad.errors",
    "Calibration": "daad.scoring.calibration",
    "ConfigError": "daad.errors",
    "DaadError": "daad.errors",
    "DataError": "daad.errors",
    "Detector": "daad.detector.detector",
    "Evaluation": "daad.detector.evaluation",
    "ImageError": "daad.errors",
    "Interval": "daad.metrics.intervals",
    "Prediction": "daad.scoring.prediction",
    "Preprocess": "daad.data.preprocess",
    "Region": "daad.scoring.prediction",
    "Sample": "daad.data.sample",
    "TrainingError": "daad.errors",
}

__all__ = [
    "AnomalyModel",
    "ArtifactError",
    "Calibration",
    "ConfigError",
    "DaadError",
    "DataError",
    "Detector",
    "Evaluation",
    "ImageError",
    "Interval",
    "Prediction",
    "Preprocess",
    "Region",
    "Sample",
    "TrainingError",
    "__version__",
    "load",
    "models",
]
__version__ = "0.1.0"


def load(path: str | Path) -> Detector:
    """Read a saved detector; the same as `Detector.load`."""
    from daad.detector.detector import Detector

    return Detector.load(path)


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
