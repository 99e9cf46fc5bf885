"""Pixel metrics over any number of images in bounded memory: AUROC, average precision and AUPRO, with intervals."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from daad.metrics.histogram import Histogram, order_keys
from daad.metrics.intervals import Interval, check_bootstrap, percentile_interval
from daad.metrics.ranking import Floats, auroc_from_counts, average_precision_from_counts

AUPRO_LIMITS = (0.3, 0.05)

_PENDING_PIXELS = 2**20  # collected before they are sorted into the histograms
_REGION_UNIT = 2**40  # total weight of the pixels of one region, so that weights are integers
_MAX_REGIONS = 2**22
_GROUP_BITS = 10  # 512 groups of normal and 512 of anomalous images
_GROUP_BINS = 2**18
_REPLICATE_BINS = 4096


class PixelMetrics:
    """Streaming pixel metrics: `update` per image, `merge` across workers, `compute` at any time.

    The result is the same, to the last bit, for every order of the images and every split between workers. It is
    exact while the maps, read as float32, hold at most `max_bins` distinct values; beyond that neighbouring values
    become ties (see `Histogram`). Memory does not grow with the number of images: by default some 40 MiB, and 260 MiB
    for the moment in which 2**20 pixels, or one map if that is larger, are sorted in.
    """

    def __init__(self, max_bins: int = 2**20):
        # Columns: normal pixels, anomalous pixels, region weight (each of region k's pixels weighs 1 / |region k|).
        self._pixels = Histogram(np.uint32, columns=3, max_bins=max_bins)
        self._groups = Histogram(np.uint64, columns=3, max_bins=_GROUP_BINS, untouched_bits=_GROUP_BITS)
        self._regions = 0
        self._pending: list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], int]] = []
        self._pending_pixels = 0

    def update(self, anomaly_map: npt.ArrayLike, mask: npt.ArrayLike, name: str | None = None) -> None:
        """Add one image: `anomaly_map` (H, W) of floats, `mask` (H, W) of bool or integers, anomalous where not 0.

        `name` tells images apart for `compute_intervals`; without one the content does. ValueError: the two are not of
        one 2-D shape, the map holds a NaN, or the mask is neither bool nor integer.
        """
        values, is_anomalous = _validated(anomaly_map, mask)
        weights, regions = _region_weights(is_anomalous)
        if self._regions + regions > _MAX_REGIONS:
            raise ValueError(f"the masks hold more than {_MAX_REGIONS} regions: are they noise?")
        self._regions += regions
        self._pending.append((order_keys(values).ravel(), weights.ravel(), _group(values, is_anomalous, name)))
        self._pending_pixels += values.size
        if self._pending_pixels >= _PENDING_PIXELS:
            self._flush()

    def merge(self, other: PixelMetrics) -> None:
        """Add all images of another state, which must have the same `max_bins` (else ValueError)."""
        self._flush()
        other._flush()
        self._pixels.merge(other._pixels)
        self._groups.merge(other._groups)
        self._regions += other._regions

    def compute(self) -> dict[str, float]:
        """The metrics of all pixels so far, each in [0, 1], or NaN without any normal or any anomalous pixel.

        `pixel_auroc` (ties count half), `pixel_ap` (step-wise), and `aupro_0.3`, `aupro_0.05`: the area under the mean
        per-region overlap against the false-positive rate, up to that rate, divided by it.
        Source of AUPRO: Bergmann et al., The MVTec Anomaly Detection Dataset (IJCV 2021), section 5.
        """
        self._flush()
        return _metrics(self._pixels.columns[:, ::-1].astype(np.float64))

    def compute_intervals(self, level: float = 0.95, *, resamples: int = 1000, seed: int = 0) -> dict[str, Interval]:
        """`compute` with percentile bootstrap intervals over images, resampled within normal and anomalous images.

        Images are put into groups by a hash of their name, 512 groups of normal and 512 of anomalous images, and the
        groups are resampled. Few images are nearly one to a group; the totals of random groups of many images vary as
        those of images do. Groups have a coarser histogram than `compute` (2**18 bins among all, then at most 4096
        shared ones); the difference between the two is subtracted from every resampled value. `low` and `high` are NaN
        if all normal or all anomalous images are in one group, as a single image is.

        Raises ValueError as `bootstrap` does. Source: Efron & Tibshirani (1993), ch. 13.
        """
        check_bootstrap(resamples, level)
        values = self.compute()
        replicates = self._replicates(resamples, np.random.default_rng(seed))
        return {
            key: percentile_interval(value, np.clip(replicates[key] + value, 0, 1), level)
            for key, value in values.items()
        }

    def _flush(self) -> None:
        if not self._pending:
            return
        keys = np.concatenate([image_keys for image_keys, _, _ in self._pending])
        weights = np.concatenate([image_weights for _, image_weights, _ in self._pending])
        group_of_image = np.array([group for _, _, group in self._pending])
        groups = np.repeat(group_of_image, [len(image_keys) for image_keys, _, _ in self._pending])
        self._pending, self._pending_pixels = [], 0
        _add_pixels(self._pixels, keys, weights)
        _add_pixels(self._groups, keys.astype(np.uint64) << np.uint64(_GROUP_BITS) | groups.astype(np.uint64), weights)

    def _replicates(self, resamples: int, generator: np.random.Generator) -> dict[str, Floats]:
        """The metrics of each resample minus those of the same coarse histograms without resampling."""
        table = _group_table(self._groups)
        draws = _draw_groups(np.unique(self._groups.keys & np.uint64((1 << _GROUP_BITS) - 1)), resamples, generator)
        if draws is None:
            return dict.fromkeys(self.compute(), np.full(resamples, np.nan))
        reference = _metrics((table @ np.ones(table.shape[1])).reshape(3, -1))
        resampled = [_metrics((table @ draw).reshape(3, -1)) for draw in draws]
        return {key: np.array([metrics[key] for metrics in resampled]) - reference[key] for key in reference}


def _validated(
    anomaly_map: npt.ArrayLike, mask: npt.ArrayLike
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    values = np.asarray(anomaly_map, dtype=np.float32)
    mask_values: npt.NDArray[Any] = np.asarray(mask)
    if values.ndim != 2 or values.shape != mask_values.shape:
        raise ValueError(
            f"anomaly_map and mask must have one shape (H, W), found {values.shape} and {mask_values.shape}"
        )
    if mask_values.dtype.kind not in "bui":
        raise ValueError(
            f"mask must be bool or integer, found {mask_values.dtype}: compare it with its threshold first"
        )
    if np.isnan(values).any():
        raise ValueError(f"anomaly_map holds {int(np.isnan(values).sum())} NaN: leave out images that were not judged")
    return values, mask_values != 0


def _region_weights(is_anomalous: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], int]:
    """Weight of every pixel, 0 where normal, and the number of 8-connected regions."""
    if not is_anomalous.any():
        return np.zeros(is_anomalous.shape, dtype=np.int64), 0
    labels, regions = ndimage.label(is_anomalous, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel())
    weights = np.rint(_REGION_UNIT / areas.clip(1)).astype(np.int64)
    weights[0] = 0
    return weights[labels], int(regions)


def _group(values: npt.NDArray[np.float32], is_anomalous: npt.NDArray[np.bool_], name: str | None) -> int:
    """The image's group: a hash above one bit that says whether it is anomalous."""
    digest = blake2b(digest_size=4)
    if name is None:
        digest.update(values.tobytes() + is_anomalous.tobytes())
    else:
        digest.update(name.encode("utf-8", "surrogateescape"))
    half = 1 << (_GROUP_BITS - 1)
    return int.from_bytes(digest.digest(), "big") % half * 2 + int(is_anomalous.any())


def _add_pixels(histogram: Histogram, keys: npt.NDArray[Any], weights: npt.NDArray[np.int64]) -> None:
    """Add one entry per pixel; anomalous ones are those of non-zero weight."""
    keys, is_anomalous = histogram.coarse(keys), weights != 0
    normal_keys, normal_counts = np.unique(keys[~is_anomalous], return_counts=True)
    anomalous_keys, anomalous_weights = keys[is_anomalous], weights[is_anomalous]
    columns = np.zeros((3, len(normal_keys) + len(anomalous_keys)), dtype=np.int64)
    columns[0, : len(normal_keys)] = normal_counts
    columns[1, len(normal_keys) :] = 1
    columns[2, len(normal_keys) :] = anomalous_weights
    histogram.add(np.concatenate((normal_keys, anomalous_keys)), columns)


def _metrics(columns: Floats) -> dict[str, float]:
    """All metrics from the three columns (3, k), thresholds descending."""
    normal, anomalous, weights = columns
    return {
        "pixel_auroc": auroc_from_counts(normal, anomalous),
        "pixel_ap": average_precision_from_counts(normal, anomalous),
        **{f"aupro_{limit}": _aupro(normal, weights, limit) for limit in AUPRO_LIMITS},
    }


def _aupro(normal: Floats, weights: Floats, limit: float) -> float:
    fpr, overlap = np.cumsum(normal), np.cumsum(weights)
    if not (fpr.size and fpr[-1] and overlap[-1]):
        return math.nan
    fpr = np.concatenate(([0.0], fpr / fpr[-1]))
    overlap = np.concatenate(([0.0], overlap / overlap[-1]))
    end = int(np.searchsorted(fpr, limit, side="right"))  # fpr[end - 1] <= limit < fpr[end]
    step = (limit - fpr[end - 1]) / (fpr[end] - fpr[end - 1])
    at_limit = overlap[end - 1] + step * (overlap[end] - overlap[end - 1])
    x, y = np.append(fpr[:end], limit), np.append(overlap[:end], at_limit)
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / (2 * limit))


def _group_table(histogram: Histogram) -> Any:
    """Sparse (3 x bins, groups): the columns stacked, thresholds descending, groups in ascending order."""
    thresholds, groups = np.divmod(histogram.keys, np.uint64(1 << _GROUP_BITS))
    while np.count_nonzero(np.diff(thresholds)) >= _REPLICATE_BINS:
        thresholds = thresholds >> np.uint64(1)
    distinct, bins = np.unique(thresholds, return_inverse=True)
    present, column = np.unique(groups, return_inverse=True)
    rows = np.concatenate([i * len(distinct) + len(distinct) - 1 - bins for i in range(3)])
    entries = (histogram.columns.ravel().astype(np.float64), (rows, np.tile(column, 3)))
    return sparse.coo_array(entries, shape=(3 * len(distinct), len(present))).tocsr()


def _draw_groups(groups: npt.NDArray[np.uint64], resamples: int, generator: np.random.Generator) -> Floats | None:
    """How often each group is drawn, (resamples, groups); None if normal or anomalous images are one group."""
    draws = np.zeros((resamples, len(groups)))
    for label in (0, 1):
        members = np.flatnonzero(groups % 2 == label)
        if len(members) == 1:
            return None
        if len(members):
            draws[:, members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), resamples)
    return draws
