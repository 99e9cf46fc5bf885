"""daad: learn what good looks like from your own good images; tell of a new one whether something is wrong, where,
and how sure that is. Nothing is imported until it is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from daad.audit.audit import Audit
    from daad.boxes.detector import BoxDetector
    from daad.boxes.evaluation import BoxEvaluation
    from daad.boxes.prediction import BoxPrediction, Detection
    from daad.data.preprocess import Preprocess
    from daad.data.sample import Sample
    from daad.detector.detector import Detector
    from daad.errors import ArtifactError, ConfigError, DaadError, DataError, ImageError, TrainingError
    from daad.metrics.intervals import Interval
    from daad.models.base import AnomalyModel
    from daad.runtime.evaluation import Evaluation
    from daad.scoring.calibration import Calibration
    from daad.scoring.prediction import Prediction, Region
    from daad.search.candidates import Candidate
    from daad.search.search import Search
    from daad.sklearn import MCODDetector

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
    "ImageError": "daad.errors",
    "Interval": "daad.metrics.intervals",
    "MCODDetector": "daad.sklearn",
    "Prediction": "daad.scoring.prediction",
    "Preprocess": "daad.data.preprocess",
    "Region": "daad.scoring.prediction",
    "Sample": "daad.data.sample",
    "Search": "daad.search.search",
    "TrainingError": "daad.errors",
}

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
    "ImageError",
    "Interval",
    "MCODDetector",
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

    from daad.audit.audit import AuditPlan, audit_pool
    from daad.detector.options import RunOptions

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


def search(
    scenes: Any,
    detector: Detector | str | Path,
    *,
    top: int = 50,
    tile: int | tuple[int, int] | None = None,
    overlap: float | None = None,
    max_no_data: float = 0.0,
    no_data: float | None = None,
    per_scene: bool = False,
    run: str | Path | None = None,
    resume: bool = False,
    progress: Any = None,
) -> Search:
    """Rank the tiles of scenes, each of any size, by how unlike what a detector learnt they are.

    `scenes`: a path, a folder (searched with its sub-folders), an array, or a list of these. BigTIFF, tiled TIFF and
    JPEG 2000 are read window by window (`pip install "daad[scenes]"`), so memory does not grow with a scene's height.
    `tile`: a tile's side, or (height, width), in pixels; by default that of the detector, or its model's size, so that
    nothing is shrunk. A tile with a share of more than `max_no_data` of pixels without data (the file's no-data value
    or mask, NaN, or `no_data`; areas under three pixels wide are filled and do not count) is not judged. Scenes are
    pooled by raw score or, with `per_scene`, by the distance from their own median tile. With a folder `run` everything
    found is kept there, and with `resume` a stopped search goes on from it; without one it is kept in memory.

    Raises DataError, ConfigError, ArtifactError.
    """
    from pathlib import Path

    from daad.detector.detector import Detector
    from daad.search.search import SearchPlan, search_scenes
    from daad.search.sources import scene_samples

    plan = SearchPlan.make(
        top=top,
        tile=tile,
        overlap=overlap,
        max_no_data=max_no_data,
        no_data=no_data,
        per_scene=per_scene,
    )
    folder = None if run is None else Path(run)
    samples = scene_samples(scenes)
    found = detector if isinstance(detector, Detector) else Detector.load(detector)
    return search_scenes(samples, found, plan, folder, resume=resume, progress=progress)


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
