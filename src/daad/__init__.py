"""daad: learn what good looks like from your own good images; tell of a new one whether something is wrong, where,
and how sure that is. Nothing is imported until it is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from daad.audit import audit
    from daad.audit.audit import Audit
    from daad.boxes.detector import BoxDetector
    from daad.boxes.evaluation import BoxEvaluation
    from daad.boxes.prediction import BoxPrediction, Detection
    from daad.data.preprocess import Preprocess
    from daad.data.sample import Sample
    from daad.detector.detector import Detector
    from daad.errors import ArtifactError, ConfigError, DaadError, DataError, ImageError, TrainingError
    from daad.features.base import Features
    from daad.metrics.intervals import Interval
    from daad.models import models
    from daad.models.base import AnomalyModel
    from daad.runtime.evaluation import Evaluation
    from daad.runtime.judge import Judge
    from daad.scoring.calibration import Calibration
    from daad.scoring.prediction import Prediction, Region
    from daad.search import search
    from daad.search.candidates import Candidate
    from daad.search.search import Search

_HOMES = {
    "AnomalyModel": "daad.models.base",
    "ArtifactError": "daad.errors",
    "Audit": "daad.audit.audit",
    "BoxDetector": "daad.boxes.detector",
    "BoxEvaluation": "daad.boxes.evaluation",
    "BoxPrediction": "daad.boxes.prediction",
    "Calibration": "daad.scoring.calibration",
    "Candidate": "daad.search.candidates",
    "ConfigError": "daad.errors",
    "DaadError": "daad.errors",
    "DataError": "daad.errors",
    "Detection": "daad.boxes.prediction",
    "Detector": "daad.detector.detector",
    "Evaluation": "daad.runtime.evaluation",
    "Features": "daad.features.base",
    "ImageError": "daad.errors",
    "Interval": "daad.metrics.intervals",
    "Judge": "daad.runtime.judge",
    "Prediction": "daad.scoring.prediction",
    "Preprocess": "daad.data.preprocess",
    "Region": "daad.scoring.prediction",
    "Sample": "daad.data.sample",
    "Search": "daad.search.search",
    "TrainingError": "daad.errors",
}
_VERBS = ("audit", "models", "search")  # packages that can be called

__all__ = [
    "AnomalyModel",
    "ArtifactError",
    "Audit",
    "BoxDetector",
    "BoxEvaluation",
    "BoxPrediction",
    "Calibration",
    "Candidate",
    "ConfigError",
    "DaadError",
    "DataError",
    "Detection",
    "Detector",
    "Evaluation",
    "Features",
    "ImageError",
    "Interval",
    "Judge",
    "Prediction",
    "Preprocess",
    "Region",
    "Sample",
    "Search",
    "TrainingError",
    "__version__",
    "audit",
    "load",
    "models",
    "search",
]
__version__ = "0.2.0"


def load(path: str | Path) -> Detector:
    """Read a saved detector and verify it; `Detector.load` takes more options.

    Raises ArtifactError for a path that is missing, damaged, altered or of another schema.
    """
    from daad.detector.detector import Detector

    return Detector.load(path)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        try:
            return getattr(importlib.import_module(_HOMES[name]), name)
        except ModuleNotFoundError as error:
            from daad.errors import how_to_install

            if advice := how_to_install(error):
                raise ImportError(f"daad.{name}: {advice}") from error
            raise
    if name in _VERBS:
        return importlib.import_module(f"daad.{name}")
    if name == "MCODDetector":
        raise AttributeError("MCODDetector is daad.sklearn.AnomalyDetector(model='mcod') now")
    raise AttributeError(f"module 'daad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
