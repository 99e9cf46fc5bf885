"""How good a detector is on labelled images that took no part in fitting: streaming, nothing chosen on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from daad.data.decode import decode_mask
from daad.data.layouts import read_layout
from daad.data.sample import Failure, Sample
from daad.errors import DataError, ImageError
from daad.metrics import ranking
from daad.metrics.intervals import Interval, bootstrap, proportion
from daad.metrics.pixels import PixelMetrics
from daad.runtime.progress import Progress
from daad.scoring.notebook import evaluation_html
from daad.scoring.prediction import Prediction

Predict = Callable[[Iterator[Sample]], Iterator[Prediction]]
Metric = Callable[[npt.ArrayLike, npt.ArrayLike], float]

IMAGE_METRICS: dict[str, Metric] = {
    "image_auroc": ranking.auroc,
    "image_ap": ranking.average_precision,
    "image_f1_max": ranking.f1_max,
    "image_fpr_at_95_tpr": ranking.fpr_at_tpr,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One evaluated image: its label and the detector's verdict."""

    name: str
    label: int
    defect: str
    score: float
    p_value: float
    is_anomalous: bool
    regions: int


@dataclass(frozen=True)
class Evaluation:
    """Metrics by name, each with its interval; one row an image; what was left out and why.

    Args:
        metrics: image_auroc, image_ap, image_f1_max and image_fpr_at_95_tpr; at the calibrated threshold
            false_alarm_rate (share of normal images flagged) and detection_rate (share of anomalous ones flagged); and,
            where there are masks, the pixel metrics. One that the data cannot give is NaN.
        by_defect: the image AUROC of each kind of defect against all normal images.
        counts: how many images were good, anomalous and failed.
        rows: what is known of every image, and the verdict.
        failures: images that could not be judged, or have no usable mask, and why.
        notes: sentences on what the data could not give.
    """

    metrics: dict[str, Interval]
    by_defect: dict[str, Interval]
    counts: dict[str, int]
    rows: list[Row]
    failures: list[Failure]
    notes: list[str]

    def arrays(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """(labels, scores), one entry a row."""
        return np.array([row.label for row in self.rows]), np.array([row.score for row in self.rows])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return evaluation_html(self.metrics, *self.arrays(), self.notes)


def labelled(data: Any) -> list[Sample]:
    """The test images of a data set whose label is known; DataError where there are none."""
    samples = [sample for sample in read_layout(data, split="test") if sample.label is not None]
    if not samples:
        where = data if isinstance(data, str | Path) else f"the {type(data).__name__} given"
        raise DataError(
            f"{where}: no image has a label, so nothing can be measured; expected test/good and test/<defect> folders, "
            "good/ and <defect>/ folders, or a manifest with a label column"
        )
    return samples


def evaluate(predict: Predict, data: Any, progress: Progress | None = None) -> Evaluation:
    """Score every labelled test image once, updating streaming metrics; see `Detector.evaluate`."""
    samples = labelled(data)
    rows: list[Row] = []
    failures: list[Failure] = []
    pixels = PixelMetrics()
    without_mask = 0
    for done, (sample, prediction) in enumerate(_judged(predict, samples), start=1):
        if prediction.error is not None:
            failures.append(Failure(sample.name, prediction.error))
        else:
            rows.append(_row(sample, prediction))
            try:
                without_mask += not _update_pixels(pixels, sample, prediction)
            except ImageError as error:
                without_mask += sample.label or 0
                failures.append(Failure(sample.name, f"left out of the pixel metrics: {error}"))
        if progress:
            progress("evaluate", done, len(samples))
    if not rows:
        raise DataError(f"none of the {len(samples)} test images could be read; the first: {failures[0].reason}")
    return _summarise(rows, failures, pixels, without_mask)


def _judged(predict: Predict, samples: list[Sample]) -> Iterator[tuple[Sample, Prediction]]:
    return zip(samples, predict(iter(samples)), strict=True)


def _row(sample: Sample, prediction: Prediction) -> Row:
    assert sample.label is not None and prediction.is_anomalous is not None
    defect = sample.defect or ("anomalous" if sample.label else "good")
    return Row(
        sample.name,
        sample.label,
        defect,
        prediction.score,
        prediction.p_value,
        prediction.is_anomalous,
        len(prediction.regions),
    )


def _update_pixels(pixels: PixelMetrics, sample: Sample, prediction: Prediction) -> bool:
    """Normal images count as all-normal pixels; an anomalous one without a mask cannot be used (False)."""
    assert prediction.anomaly_map is not None
    shape = prediction.anomaly_map.shape
    if sample.label and sample.mask is None:
        return False
    mask = (
        np.zeros(shape, dtype=bool)
        if not sample.label or sample.mask is None
        else decode_mask(sample.mask, shape=(shape[0], shape[1]), name=mask_name(sample))
    )
    pixels.update(prediction.anomaly_map, mask, sample.name)
    return True


def mask_name(sample: Sample) -> str:
    """What errors call a sample's mask."""
    return str(sample.mask) if isinstance(sample.mask, Path) else f"mask of {sample.name}"


def _summarise(rows: list[Row], failures: list[Failure], pixels: PixelMetrics, without_mask: int) -> Evaluation:
    labels, scores = np.array([r.label for r in rows]), np.array([r.score for r in rows])
    flagged = np.array([r.is_anomalous for r in rows])
    metrics = {name: bootstrap(metric, labels, scores) for name, metric in IMAGE_METRICS.items()}
    for name, label in (("false_alarm_rate", 0), ("detection_rate", 1)):
        of_kind = flagged[labels == label]
        metrics[name] = proportion(int(of_kind.sum()), len(of_kind))
    notes = []
    if labels.min() == labels.max():
        notes.append(f"all test images are {'anomalous' if labels[0] else 'good'}: ranking metrics need both kinds")
    counts = {"good": int((labels == 0).sum()), "anomalous": int((labels == 1).sum()), "failed": len(failures)}
    with_masks = counts["anomalous"] - without_mask
    if with_masks:
        metrics |= pixels.compute_intervals()
        if without_mask:
            notes.append(f"pixel metrics leave out {without_mask} images without a usable mask")
    else:
        notes.append("no pixel metrics: no anomalous image has a usable mask")
    return Evaluation(metrics, _by_defect(rows, labels, scores), counts, rows, failures, notes)


def _by_defect(rows: list[Row], labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> dict[str, Interval]:
    defects = np.array([row.defect for row in rows])
    aurocs = {}
    for defect in sorted({row.defect for row in rows if row.label}):
        chosen = (labels == 0) | (defects == defect)
        aurocs[defect] = bootstrap(ranking.auroc, labels[chosen], scores[chosen])
    return aurocs
