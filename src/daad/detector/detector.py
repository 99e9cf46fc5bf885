"""`Detector`: a Judge that came from learning. Fit on good images, predict, evaluate, save, load, export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from daad.artifact.jsonable import jsonable
from daad.artifact.manifest import Manifest
from daad.artifact.place import check_replaceable, check_writable, resolved
from daad.artifact.read import read_artifact
from daad.artifact.store import write_artifact
from daad.data.preprocess import Preprocess
from daad.detector.class_only import class_only
from daad.detector.options import FitPlan, RunOptions
from daad.errors import ArtifactError, ConfigError
from daad.models.base import AnomalyModel
from daad.models.build import build, rebuild
from daad.runtime.engines.torch import TorchScorer
from daad.runtime.golden import golden_images, golden_sample
from daad.runtime.golden import verify as verify_golden
from daad.runtime.judge import Judge
from daad.runtime.progress import Progress
from daad.scoring.calibration import Calibration
from daad.settings import split, takes
from daad.stages import ModelConfig

if TYPE_CHECKING:
    from daad.detector.export import Parity


class Detector(Judge):
    """A fitted model, the preprocessing it expects, its calibration, and where it came from.

    >>> detector = Detector.fit("photos/good")
    >>> for prediction in detector.predict("photos/new"):
    ...     prediction.name, prediction.is_anomalous, prediction.score, prediction.p_value
    """

    model: AnomalyModel

    def __init__(self, *_: Any, **given: Any) -> None:
        options = "".join(f", {name}={value!r}" for name, value in given.items())
        raise ConfigError(f"a Detector comes from learning: write Detector.fit(DATA{options}), or Detector.load(PATH)")

    @classmethod
    def of(
        cls,
        name: str,
        model: AnomalyModel,
        preprocess: Preprocess,
        calibration: Calibration,
        provenance: Mapping[str, Any],
    ) -> Self:
        """A detector of parts that fit each other: a trained model and the calibration of its scores."""
        detector = cls.__new__(cls)
        settings = model.config.model_dump(mode="json")
        scorer = TorchScorer(model, settings)
        Judge.__init__(detector, scorer, preprocess, calibration, name=name, settings=settings, provenance=provenance)
        detector.model = model
        return detector

    @class_only
    @takes(FitPlan, RunOptions)
    def fit(cls, data: Any, *, progress: Progress | None = None, **options: Any) -> Self:
        """Learn what good looks like. The same seed gives the same bits on one CPU.

        Args:
            data: a folder of good images, an MVTec-style folder (its train/good), a CSV or Parquet manifest, a list of
                paths, arrays, tensors or PIL images, an array (N, H, W, C), or a tensor (N, C, H, W).
            progress: called with (phase, done, total) as work goes on.
            {options}
            **settings: those of the model (`daad models NAME`). `features`, for models that stand on feature maps: a
                name (`daad models features`), the path of a saved detector, or a module of your own, float images
                (B, C, H, W) in [0, 1] -> list of maps; it is copied, and not trained.

        Raises:
            DataError: no image can be used, or too few.
            ConfigError: an option or setting is unknown, out of range, or does not fit the others.
            TrainingError: a loss is no longer finite, or another fit runs in the same folder.
            ArtifactError: a checkpoint, or a detector whose features are asked for, is damaged or another's.
        """
        from daad.detector.fitting import fit

        (chosen, run), settings = split(options, FitPlan, RunOptions)
        plan = FitPlan.make(**chosen, settings=settings)
        fitted = fit(data, plan, RunOptions.make(**run), progress)
        provenance = {**fitted.provenance, "left_out": [asdict(failure) for failure in fitted.failures]}
        return cls.of(plan.model, fitted.model, fitted.preprocess, fitted.calibration, provenance)

    def save(self, path: str | Path) -> Path:
        """Write the detector to a folder, or to a zip where `path` ends in .zip; an older one there is replaced.

        A folder's other files stay. Raises ArtifactError, and leaves what is there as it was, for a place that is
        neither absent, nor empty, nor a detector, for one that cannot be written, and for provenance that JSON cannot
        hold.
        """
        manifest = Manifest(
            model=self.name,
            config=jsonable(self.settings, "config"),
            preprocess=self.preprocess,
            calibration=self.calibration,
            provenance=jsonable(self.provenance, "provenance"),
            files={},
        )
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in self.model.state_dict().items()}
        write_artifact(path, manifest, weights, golden_sample(self.scorer, self.preprocess))
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True, features: Any = None) -> Self:
        """Read a detector; every file is checked against its hash.

        Args:
            path: a folder or zip that `save` wrote.
            verify: score the golden sample again, and compare.
            features: a module of the form that was given to `fit`, for a detector that stands on one; its weights come
                from `path`.

        Raises:
            ArtifactError: the path is missing, foreign, damaged, altered or of another schema, or the model gives other
                numbers here than where it was saved.
            ConfigError: `features` are given and not needed, or needed and not given.
        """
        manifest, weights, golden = read_artifact(path, Manifest)
        check_features(manifest, features, str(path))
        model = rebuild(partial(build, manifest.model, manifest.config, features), weights, str(path))
        check_preprocess(manifest.preprocess, model.config, str(path))
        detector = cls.of(manifest.model, model, manifest.preprocess, manifest.calibration, manifest.provenance)
        if verify:
            verify_golden(detector.scorer, detector.preprocess, golden, str(path))
        return detector

    def export_onnx(self, path: str | Path, *, samples: Any = None) -> Parity:
        """Write the model as ONNX and prove it: input `image` integers (N, h, w, C) as `preprocess` gives them; outputs
        `score` and `anomaly_map`. Needs `pip install 'daad[onnx]'`."""
        from daad.detector.export import export_onnx

        images = golden_images(self.preprocess, 4) if samples is None else np.asarray(samples)
        return export_onnx(self.model, self.preprocess, Path(path), images)


def check_features(manifest: Manifest, features: Any, where: str) -> None:
    """Refuse a module that is not needed, or the lack of one that is."""
    name = manifest.config.get("features")
    if name == "module" and features is None:
        source = manifest.provenance.get("features", {}).get("source", "a module of the user's own")
        raise ConfigError(
            f"{where}: this detector stands on {source}, whose code is not stored: "
            f"Detector.load({where!r}, features=MODULE)"
        )
    if features is not None and name != "module":
        what = f"stands on features {name!r}" if name else f"by {manifest.model} has a network of its own"
        raise ConfigError(f"{where}: this detector {what}; load it without features=")


def check_preprocess(preprocess: Preprocess, config: ModelConfig, where: str) -> None:
    """Refuse a preprocessing that gives images of another shape than the model takes."""
    for name in ("height", "width", "channels"):
        given, taken = getattr(preprocess, name), getattr(config, name)
        if given != taken:
            raise ArtifactError(
                f"{where}: manifest.json: preprocess gives {name} {given}, but the model's config takes {taken}; "
                "copy the detector again, or fit again"
            )


def prepare_output(path: Path) -> None:
    """Refuse, before hours of training, a place where a detector could not be saved; makes its parent folder."""
    place = resolved(path)
    check_replaceable(place)
    check_writable(place)
