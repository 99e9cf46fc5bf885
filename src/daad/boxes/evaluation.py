"""Evaluation of a detector of boxes on labelled images: nothing is chosen on them, no class is dropped."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from daad.boxes.fitting import FittedBoxes
from daad.boxes.labelled import file_digest, pixel_digest
from daad.boxes.predicting import BATCH_SIZE, predict_boxes
from daad.data.box_set import BoxSample, BoxSet
from daad.data.sample import Failure, Sample
from daad.errors import ConfigError, DataError
from daad.metrics.box_intervals import box_intervals
from daad.metrics.box_quality import MAX_DETECTIONS, Boxes, BoxQuality, box_quality, truth
from daad.metrics.intervals import Interval
from daad.runtime.progress import Progress
from daad.scoring.box_reference import BoxReference

THIRDS = ("small", "middle", "large")


@dataclass(frozen=True)
class BoxEvaluation:
    """What was measured on labelled images.

    Args:
        quality: COCO's average precision of the detected boxes.
        baseline: the same of a detector that looks at no image: the mean training box of each class in every image.
        intervals: `ap`, `ap50` and `ap75`, and `precision` and `recall` at the detector's threshold and IoU .5, each
            with its bootstrap interval over images; NaN where there is nothing to count.
        images: number of images.
        boxes: number of labelled boxes.
        samples: the images that were judged.
        found: of each sample the detected boxes that count.
        failures: the images that could not be judged.
        notes: what a user must know of these figures.
    """

    quality: BoxQuality
    baseline: BoxQuality
    intervals: Mapping[str, Interval]
    images: int
    boxes: int
    samples: list[BoxSample]
    found: list[Boxes]
    failures: list[Failure]
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """The numbers, as plain data."""
        return {
            "images": self.images,
            "boxes": self.boxes,
            **{name: getattr(self.quality, name) for name in ("ap", "ap50", "ap75")},
            "by_size": dict(self.quality.by_size),
            "by_class": dict(self.quality.by_class),
            **{name: self.intervals[name].value for name in ("precision", "recall")},
            "baseline": {"ap": self.baseline.ap, "ap50": self.baseline.ap50, "ap75": self.baseline.ap75},
        }


def evaluate(
    fitted: FittedBoxes, data: BoxSet, batch_size: int = BATCH_SIZE, progress: Progress | None = None
) -> BoxEvaluation:
    """Detect the boxes of every image of `data` and compare them with the labelled ones.

    Args:
        fitted: the detector.
        data: the labelled images, with the detector's classes.
        batch_size: images in one pass of the network.
        progress: called with ("evaluate", done, total).

    Raises:
        ConfigError: `batch_size` is below 1.
        DataError: no image can be read.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, found {batch_size}")
    samples, detected, failures, learnt = [], [], list(data.failures), 0
    learnt_digests = set(fitted.reference.learnt_images)
    unlabelled = [Sample(sample.image, sample.name) for sample in data.samples]
    predicted = predict_boxes(fitted.model, fitted.preprocess, unlabelled, batch_size=batch_size)
    for done, (sample, image) in enumerate(zip(data.samples, predicted, strict=True), start=1):
        if image.error is not None:
            failures.append(Failure(sample.name, image.error))
        else:
            digest = file_digest(sample.image) if image.prepared is None else pixel_digest(image.prepared)
            learnt += digest in learnt_digests
            samples.append(sample)
            detected.append(image.boxes)
        if progress is not None:
            progress("evaluate", done, len(unlabelled))
    if not samples:
        raise DataError(f"none of the {len(unlabelled)} images can be read; the first: {failures[0].reason}")
    return _measure(fitted, data, samples, detected, failures, learnt)


def _measure(
    fitted: FittedBoxes,
    data: BoxSet,
    samples: list[BoxSample],
    detected: list[Boxes],
    failures: list[Failure],
    learnt: int,
) -> BoxEvaluation:
    """`detected` are the boxes of each of `samples`; `learnt` of the samples took part in the fit."""
    true = [truth(sample.boxes, sample.labels) for sample in samples]
    shown = max(int((boxes.scores >= fitted.confidence.threshold).sum()) for boxes in detected)
    most = max(MAX_DETECTIONS, shown, 2 * max(len(boxes.labels) for boxes in true))
    counted = [boxes.top(most) for boxes in detected]
    classes, sizes = fitted.model.config.classes, size_thirds(fitted.reference)
    notes = list(data.notes)
    if learnt:
        notes.append(f"{learnt} of these images were learnt from: the figures are too good; keep a part for measuring")
    absent = [name for label, name in enumerate(classes) if not any((boxes.labels == label).any() for boxes in true)]
    if absent:
        notes.append(f"no box of these classes is there, so they do not count: {', '.join(absent)}")
    if most > MAX_DETECTIONS:
        notes.append(
            f"of an image the {most} surest boxes count, not COCO's {MAX_DETECTIONS}: so many are there, or shown"
        )
    return BoxEvaluation(
        quality=box_quality(counted, true, classes, sizes, most),
        baseline=box_quality([_mean_boxes(fitted, sample) for sample in samples], true, classes, sizes, most),
        intervals=box_intervals(counted, true, len(classes), fitted.confidence.threshold),
        images=len(samples),
        boxes=sum(len(boxes.labels) for boxes in true),
        samples=samples,
        found=counted,
        failures=failures,
        notes=notes,
    )


def size_thirds(reference: BoxReference) -> dict[str, tuple[float, float]]:
    """Three ranges of sqrt(width height) in pixels that each hold a third of the training boxes, by name."""
    if reference.size_thirds is None:
        return {}
    return dict(zip(THIRDS, itertools.pairwise([0.0, *reference.size_thirds, math.inf]), strict=True))


def _mean_boxes(fitted: FittedBoxes, sample: BoxSample) -> Boxes:
    """The mean training box of every class, with the share of training images that show the class as its score."""
    height, width = sample.size
    mean_boxes, classes = fitted.reference.mean_boxes, fitted.model.config.classes
    means = [(label, mean_boxes[name]) for label, name in enumerate(classes) if name in mean_boxes]
    corners = np.array([mean.box for _, mean in means], np.float64).reshape(-1, 4) * [width, height, width, height]
    labels, scores = [label for label, _ in means], [mean.share for _, mean in means]
    return Boxes(corners, np.array(labels, np.int64), np.array(scores, np.float64))
