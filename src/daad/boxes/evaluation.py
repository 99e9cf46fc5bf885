"""How good a detector of boxes is on labelled images: nothing is chosen on them, no class is dropped."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from daad.boxes.fitting import Fitted
from daad.boxes.labelled import file_digest, pixel_digest
from daad.boxes.predicting import BATCH_SIZE, judge
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
    """What was measured on `images` images with `boxes` boxes.

    `quality` is COCO's average precision of all boxes found; `intervals` hold `ap`, `ap50` and `ap75` with their
    bootstrap intervals over images, and `precision` and `recall` at the detector's threshold and IoU .5, NaN where
    there is nothing to count; `baseline` is the quality of what knows no image: the training
    boxes' mean box of every class, in every image. `found` are the boxes that count, of each sample.
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
    detector: Fitted, data: BoxSet, batch_size: int = BATCH_SIZE, progress: Progress | None = None
) -> BoxEvaluation:
    """Find the boxes of every image of `data` and hold them against those that are there; see
    `BoxDetector.evaluate`."""
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, found {batch_size}")
    samples, found, failures, seen = [], [], list(data.failures), 0
    learnt = set(detector.reference.learnt_images)
    plain = [Sample(sample.image, sample.name) for sample in data.samples]
    judged = judge(detector.model, detector.preprocess, plain, batch_size=batch_size)
    for done, (own, item) in enumerate(zip(data.samples, judged, strict=True), start=1):
        if item.error is not None:
            failures.append(Failure(own.name, item.error))
        else:
            digest = file_digest(own.image) if item.prepared is None else pixel_digest(item.prepared)
            seen += digest in learnt
            samples.append(own)
            found.append(item.boxes)
        if progress is not None:
            progress("evaluate", done, len(plain))
    if not samples:
        raise DataError(f"none of the {len(plain)} images can be read; the first: {failures[0].reason}")
    return _measured(detector, data, samples, found, failures, seen)


def _measured(
    detector: Fitted,
    data: BoxSet,
    samples: list[BoxSample],
    found: list[Boxes],
    failures: list[Failure],
    seen: int,
) -> BoxEvaluation:
    true = [truth(sample.boxes, sample.labels) for sample in samples]
    shown = max(int((each.scores >= detector.confidence.threshold).sum()) for each in found)
    most = max(MAX_DETECTIONS, shown, 2 * max(len(each.labels) for each in true))
    counted = [each.top(most) for each in found]
    classes, sizes = detector.model.config.classes, thirds_of(detector.reference)
    notes = list(data.notes)
    if seen:
        notes.append(f"{seen} of these images were learnt from: the figures are too good; keep a part for measuring")
    absent = [name for place, name in enumerate(classes) if not any((each.labels == place).any() for each in true)]
    if absent:
        notes.append(f"no box of these classes is there, so they do not count: {', '.join(absent)}")
    if most > MAX_DETECTIONS:
        notes.append(
            f"of an image the {most} surest boxes count, not COCO's {MAX_DETECTIONS}: so many are there, or shown"
        )
    return BoxEvaluation(
        quality=box_quality(counted, true, classes, sizes, most),
        baseline=box_quality([_mean_boxes(detector, sample) for sample in samples], true, classes, sizes, most),
        intervals=box_intervals(counted, true, len(classes), detector.confidence.threshold),
        images=len(samples),
        boxes=sum(len(each.labels) for each in true),
        samples=samples,
        found=counted,
        failures=failures,
        notes=notes,
    )


def thirds_of(reference: BoxReference) -> dict[str, tuple[float, float]]:
    """The ranges of sqrt(width height) that hold a third of the training boxes each."""
    if reference.size_thirds is None:
        return {}
    return dict(zip(THIRDS, itertools.pairwise([0.0, *reference.size_thirds, math.inf]), strict=True))


def _mean_boxes(detector: Fitted, sample: BoxSample) -> Boxes:
    """The mean training box of every class, with the share of training images that show the class as its score."""
    height, width = sample.size
    mean_boxes, classes = detector.reference.mean_boxes, detector.model.config.classes
    known = [(label, mean_boxes[name]) for label, name in enumerate(classes) if name in mean_boxes]
    corners = np.array([mean.box for _, mean in known], np.float64).reshape(-1, 4) * [width, height, width, height]
    labels, scores = [label for label, _ in known], [mean.share for _, mean in known]
    return Boxes(corners, np.array(labels, np.int64), np.array(scores, np.float64))
