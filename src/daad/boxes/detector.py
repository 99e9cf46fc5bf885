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
from daad.boxes.fitting import FittedBoxes, fit
from daad.boxes.nms import LOWEST_SCORE, dense_boxes
from daad.boxes.options import BoxPlan
from daad.boxes.predicting import BATCH_SIZE, ImageBoxes, predict_boxes
from daad.boxes.prediction import BoxPrediction, Detection
from daad.boxes.scod import NAME, SCOD, SCODConfig
from daad.data.box_set import BoxSet, read_boxes
from daad.data.preprocess import Preprocess
from daad.detector.class_only import class_only
from daad.detector.options import RunOptions
from daad.errors import ArtifactError, ConfigError, ImageError
from daad.models.build import rebuild
from daad.runtime.progress import Progress
from daad.runtime.stream import samples_of
from daad.scoring.box_reference import BoxReference
from daad.scoring.confidence import Confidence
from daad.settings import split, takes

GOLDEN_TOLERANCE = 1e-3  # of a score, and of a box's corners in shares of the image's width


class BoxDetector:
    """A fitted detector of boxes, the preprocessing it expects, its threshold, and its provenance.

    >>> detector = BoxDetector.fit("labelled")
    >>> for prediction in detector.predict("photos/new"):
    ...     prediction.name, prediction.detections

    Args:
        model: the network with its weights; it is put into evaluation mode.
        preprocess: what an image goes through before.
        confidence: the score from which a box is shown.
        reference: what evaluations compare the detector with.
        provenance: what it was made from, for people.
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
        """Learn to detect boxes. The same seed gives the same bits on one CPU.

        Args:
            data: labelled images: COCO, Pascal VOC, YOLO, or an MVTec-style folder with masks, of which the training
                part is read; or a `BoxSet` from `daad.data.box_set.read_boxes`.
            images: the folder of the images, where COCO or VOC annotations lie elsewhere.
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
        fitted = fit(labelled, plan, RunOptions.make(**run), progress)
        return cls(fitted.model, fitted.preprocess, fitted.confidence, fitted.reference, fitted.provenance)

    def predict(
        self, source: Any, *, min_score: float | None = None, batch_size: int = BATCH_SIZE, workers: int = 2
    ) -> Iterator[BoxPrediction]:
        """Detect boxes in images: one `BoxPrediction` for each image, in order.

        At most a few batches are in memory at any time. An image that cannot be read gives a prediction with `error`,
        and the rest go on. An image has at most 100 boxes, or 10,000 with a detector of tiles.

        Args:
            source: what `Detector.predict` takes.
            min_score: leave out boxes of a lower score, in [0.01, 1]; None: the detector's own threshold.
            batch_size: images in one pass of the network; of no effect with tiles.
            workers: threads that decode images; of no effect with tiles.

        Raises:
            ConfigError: an argument is out of range.
            DataError: a path that is not there, or holds no image.
        """
        if batch_size < 1 or workers < 1:
            raise ConfigError(f"batch_size and workers must be at least 1, found {batch_size} and {workers}")
        if min_score is not None and not LOWEST_SCORE <= min_score <= 1:
            raise ConfigError(f"min_score must lie in [{LOWEST_SCORE}, 1], found {min_score}")
        lowest = max(LOWEST_SCORE, self.confidence.threshold) if min_score is None else min_score
        samples = samples_of(source)
        boxes = predict_boxes(self.model, self.preprocess, samples, lowest, batch_size=batch_size, workers=workers)
        return map(self._prediction, boxes)

    def predict_one(self, image: Any, *, min_score: float | None = None) -> BoxPrediction:
        """Detect the boxes of one image; raises ImageError where it cannot be read."""
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
        """Measure on labelled images: COCO's average precision, and precision and recall at the detector's threshold.

        Nothing is set or chosen on these images, and none of them should have taken part in the fit.

        Args:
            data: as in `fit`; of a folder, its test part.
            images: as in `fit`.
            batch_size: images in one pass of the network.
            progress: called with (phase, done, total) as work goes on.

        Raises:
            ConfigError: `batch_size` is below 1.
            DataError: there are no labelled images, or none can be read.
        """
        if isinstance(data, BoxSet):
            labelled = data.of(self.classes)
        else:
            labelled = read_boxes(data, split="test", classes=self.classes, images=images)
        fitted = FittedBoxes(self.model, self.preprocess, self.confidence, self.reference, self.provenance)
        return evaluate(fitted, labelled, batch_size, progress)

    def save(self, path: str | Path) -> Path:
        """Write the detector to a folder, or to a zip where `path` ends in .zip; see `Detector.save`."""
        golden = self._golden_image()
        dense = dense_boxes(self.model, golden)
        manifest = BoxManifest(
            model=NAME,
            config=jsonable(self.model.config.model_dump(mode="json"), "config"),
            preprocess=self.preprocess,
            confidence=self.confidence,
            reference=self.reference,
            provenance=jsonable(self.provenance, "provenance"),
            files={},
        )
        sample = {"image": golden.astype(np.int32), "scores": dense.scores.numpy(), "boxes": dense.boxes.numpy()}
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in self.model.state_dict().items()}
        write_artifact(path, manifest, weights, sample)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> Self:
        """Read a detector of boxes; every file is checked against its hash.

        With `verify` the network runs on the golden sample again. Raises ArtifactError as `Detector.load` does.
        """
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
        """Write the network as ONNX and compare it with torch; needs `pip install 'daad[onnx]'`.

        The input `image` is integers (N, h, w, C) as `preprocess` gives them. The outputs are `scores` (N, A, classes)
        and `boxes` (N, A, 4) in pixels of the input, before suppression.

        Args:
            path: the file to write.
            samples: prepared images (N, h, w, C) to compare on; None: noise.

        Returns:
            Of each output the largest difference from torch, relative to its largest value.
        """
        from daad.detector.export import export_pair

        images = self._golden_image(4) if samples is None else np.asarray(samples)
        names = ("scores", "boxes")
        return dict(zip(names, export_pair(self.model, self.preprocess, Path(path), images, names), strict=True))

    def _prediction(self, image: ImageBoxes) -> BoxPrediction:
        columns = (column.tolist() for column in image.boxes)
        detections = tuple(
            Detection((left, top, right, bottom), self.classes[label], score)
            for (left, top, right, bottom), label, score in zip(*columns, strict=True)
        )
        return BoxPrediction(image.sample.name, detections, image.size, image.error)

    def _golden_image(self, count: int = 1) -> npt.NDArray[Any]:
        """Noise, never the user's images: an artifact must not carry a patient or a product."""
        p = self.preprocess
        noise = np.random.default_rng(0).random((count, p.height, p.width, p.channels))
        return (np.iinfo(p.dtype).max * noise).astype(p.dtype)

    def _verify(self, golden: Mapping[str, npt.NDArray[Any]], path: str) -> None:
        p, anchors, classes = self.preprocess, len(self.model.anchors), len(self.classes)
        shapes = {
            "image": (1, p.height, p.width, p.channels),
            "scores": (1, anchors, classes),
            "boxes": (1, anchors, 4),
        }
        for name, shape in shapes.items():
            if name not in golden or tuple(golden[name].shape) != shape:
                raise ArtifactError(f"{path}: golden.safetensors: {name!r} is not of shape {shape}; save it again")
        dense = dense_boxes(self.model, golden["image"].astype(p.dtype))
        score_difference = np.abs(dense.scores.numpy() - golden["scores"]).max()
        box_difference = np.abs(dense.boxes.numpy() - golden["boxes"]).max() / p.width
        if not (score_difference <= GOLDEN_TOLERANCE and box_difference <= GOLDEN_TOLERANCE):
            raise ArtifactError(f"{path}: its golden sample gives other boxes here than where it was saved")
