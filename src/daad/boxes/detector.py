"""`BoxDetector`: fit on images with labelled boxes, predict, evaluate, save, load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from daad.artifact.jsonable import jsonable
from daad.artifact.manifest import BoxManifest
from daad.artifact.read import read_artifact
from daad.artifact.store import write_artifact
from daad.boxes.evaluation import BoxEvaluation, evaluate
from daad.boxes.fitting import Fitted, fit
from daad.boxes.nms import LOWEST, raw_found
from daad.boxes.options import BoxPlan
from daad.boxes.predicting import BATCH_SIZE, Judged, judge
from daad.boxes.prediction import BoxPrediction, Detection
from daad.boxes.scod import NAME, SCOD, SCODConfig
from daad.data.box_set import BoxSet, read_boxes
from daad.data.preprocess import Preprocess
from daad.detector.class_only import class_only
from daad.detector.detector import with_path
from daad.detector.options import RunOptions
from daad.errors import ArtifactError, ConfigError, ImageError
from daad.models.build import rebuild
from daad.runtime.progress import Progress
from daad.runtime.stream import samples_of
from daad.scoring.box_reference import BoxReference
from daad.scoring.confidence import Confidence
from daad.settings import split, takes

GOLDEN_TOLERANCE = 1e-3  # of a score, and of a box in shares of the image's side


class BoxDetector:
    """A fitted detector of boxes, the preprocessing it expects, its threshold, and where it came from.

    >>> detector = BoxDetector.fit("labelled")
    >>> for prediction in detector.predict("photos/new"):
    ...     prediction.name, prediction.detections
    """

    def __init__(
        self,
        model: SCOD,
        preprocess: Preprocess,
        confidence: Confidence,
        reference: BoxReference,
        provenance: Mapping[str, Any],
    ) -> None:
        self.model = model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.preprocess = preprocess
        self.confidence = confidence
        self.reference = reference
        self.provenance = dict(provenance)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of boxes, in the order of the network's outputs."""
        return tuple(self.model.config.classes)

    @class_only
    @takes(BoxPlan, RunOptions)
    def fit(
        cls,
        data: str | Path | BoxSet,
        *,
        images: str | Path | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Self:
        """Learn to find boxes. The same seed gives the same bits on one CPU.

        Args:
            data: what `daad.data.box_set.read_boxes` reads (COCO, Pascal VOC, YOLO, an MVTec-style folder with masks;
                its training part), or what it gave.
            images: where the images of COCO or VOC annotations lie, if not beside them.
            progress: called with (phase, done, total) as work goes on.
            {options}
            **settings: those of `SCODConfig` (`daad models scod`).

        Raises:
            DataError: no image with boxes is left to learn from.
            ConfigError, TrainingError, ArtifactError: as in `Detector.fit`.
        """
        (plan_options, run), settings = split(options, BoxPlan, RunOptions)
        plan = BoxPlan.make(**plan_options, settings=settings)
        plan.check()
        labelled = data if isinstance(data, BoxSet) else read_boxes(data, split="train", images=images)
        fitted = fit(labelled, plan, RunOptions.make(**with_path(run)), progress)
        return cls(fitted.model, fitted.preprocess, fitted.confidence, fitted.reference, fitted.provenance)

    def predict(
        self, source: Any, *, min_score: float | None = None, batch_size: int = BATCH_SIZE, workers: int = 2
    ) -> Iterator[BoxPrediction]:
        """Find boxes in images, one `BoxPrediction` each, in order; at most a few batches are in memory at any time.

        `source` is what `Detector.predict` takes. `min_score` in [0.01, 1]: the score from which on a box is given;
        None: the detector's own threshold. An image that cannot be read gives a prediction with `error`, and the rest
        go on. At most 100 boxes are given of an image, or 10,000 by a detector of tiles.
        """
        if batch_size < 1 or workers < 1:
            raise ConfigError(f"batch_size and workers must be at least 1, found {batch_size} and {workers}")
        if min_score is not None and not LOWEST <= min_score <= 1:
            raise ConfigError(f"min_score must lie in [{LOWEST}, 1], found {min_score}")
        lowest = max(LOWEST, self.confidence.threshold) if min_score is None else min_score
        samples = samples_of(source)
        judged = judge(self.model, self.preprocess, samples, lowest, batch_size=batch_size, workers=workers)
        return map(self._prediction, judged)

    def predict_one(self, image: Any, *, min_score: float | None = None) -> BoxPrediction:
        """Find the boxes of one image; raises ImageError where it cannot be read."""
        prediction = next(self.predict([image], min_score=min_score, batch_size=1, workers=1))
        if prediction.error is not None:
            raise ImageError(prediction.error)
        return prediction

    def evaluate(
        self,
        data: str | Path | BoxSet,
        *,
        images: str | Path | None = None,
        batch_size: int = BATCH_SIZE,
        progress: Progress | None = None,
    ) -> BoxEvaluation:
        """Measure on labelled images that took no part in fitting: COCO's average precision, and precision and recall
        at the detector's threshold. `data` and `images` are as in `fit`; of a folder, its test part."""
        if isinstance(data, BoxSet):
            labelled = data.of(self.classes)
        else:
            labelled = read_boxes(data, split="test", classes=self.classes, images=images)
        parts = Fitted(self.model, self.preprocess, self.confidence, self.reference, self.provenance)
        return evaluate(parts, labelled, batch_size, progress)

    def save(self, path: str | Path) -> Path:
        """Write the detector to a folder, or to a zip where `path` ends in .zip; see `Detector.save`."""
        golden = self._golden_image()
        found = raw_found(self.model, golden)
        manifest = BoxManifest(
            model=NAME,
            config=jsonable(self.model.config.model_dump(mode="json"), "config"),
            preprocess=self.preprocess,
            confidence=self.confidence,
            reference=self.reference,
            provenance=jsonable(self.provenance, "provenance"),
            files={},
        )
        sample = {"image": golden.astype(np.int32), "scores": found.scores.numpy(), "boxes": found.boxes.numpy()}
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in self.model.state_dict().items()}
        write_artifact(path, manifest, weights, sample)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> Self:
        """Read a detector of boxes; every file is checked against its hash, and with `verify` the golden sample is
        judged again. Raises ArtifactError as `Detector.load` does."""
        manifest, weights, golden = read_artifact(path, BoxManifest)
        if manifest.model != NAME:
            raise ArtifactError(f"{path}: unknown detector of boxes {manifest.model!r}; known: {NAME}")
        model = rebuild(lambda: SCOD(SCODConfig.make(**manifest.config)), weights, str(path))
        p, config = manifest.preprocess, model.config
        if (p.height, p.width, p.channels) != (config.height, config.width, config.channels) or p.crop:
            raise ArtifactError(f"{path}: manifest.json: its preprocess is not one for boxes of this config; fit again")
        detector = cls(model, p, manifest.confidence, manifest.reference, manifest.provenance)
        if verify:
            detector._verify(golden, str(path))
        return detector

    def export_onnx(self, path: str | Path, *, samples: Any = None) -> dict[str, float]:
        """Write the network as ONNX and prove it: input `image` integers (N, h, w, C) as `preprocess` gives them;
        outputs `scores` (N, A, classes) and `boxes` (N, A, 4) in pixels of the input, before suppression. Gives the
        largest difference from torch of each, relative to its largest value. Needs `pip install 'daad[onnx]'`."""
        from daad.detector.export import export_pair

        images = self._golden_image(4) if samples is None else np.asarray(samples)
        names = ("scores", "boxes")
        return dict(zip(names, export_pair(self.model, self.preprocess, Path(path), images, names), strict=True))

    def _prediction(self, item: Judged) -> BoxPrediction:
        columns = (column.tolist() for column in item.boxes)
        detections = tuple(
            Detection((left, top, right, bottom), self.classes[label], score)
            for (left, top, right, bottom), label, score in zip(*columns, strict=True)
        )
        return BoxPrediction(item.sample.name, detections, item.size, item.error)

    def _golden_image(self, count: int = 1) -> npt.NDArray[Any]:
        """Made, never taken from the user's images: an artifact must not carry a patient or a product."""
        p = self.preprocess
        noise = np.random.default_rng(0).random((count, p.height, p.width, p.channels))
        return (np.iinfo(p.dtype).max * noise).astype(p.dtype)

    def _verify(self, golden: Mapping[str, npt.NDArray[Any]], where: str) -> None:
        p, anchors, classes = self.preprocess, len(self.model.anchors), len(self.classes)
        shapes = {
            "image": (1, p.height, p.width, p.channels),
            "scores": (1, anchors, classes),
            "boxes": (1, anchors, 4),
        }
        for name, shape in shapes.items():
            if name not in golden or tuple(golden[name].shape) != shape:
                raise ArtifactError(f"{where}: golden.safetensors: {name!r} is not of shape {shape}; save it again")
        found = raw_found(self.model, golden["image"].astype(p.dtype))
        scores_apart = np.abs(found.scores.numpy() - golden["scores"]).max()
        boxes_apart = np.abs(found.boxes.numpy() - golden["boxes"]).max() / p.width
        if not (scores_apart <= GOLDEN_TOLERANCE and boxes_apart <= GOLDEN_TOLERANCE):
            raise ArtifactError(f"{where}: its golden sample gives other boxes here than where it was saved")
