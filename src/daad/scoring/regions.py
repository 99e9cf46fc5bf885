"""From an anomaly map and a threshold to the regions a person would look at."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from daad.scoring.prediction import Region


def find_regions(
    anomaly_map: npt.NDArray[np.float32], threshold: float, *, min_area: int = 1, limit: int | None = 100
) -> tuple[Region, ...]:
    """The 8-connected regions where the map (H, W) lies above `threshold`, the highest peak first.

    Regions of equal peak come in the order of their first pixel, row by row.

    Args:
        anomaly_map: (H, W) float32.
        threshold: a map value, such as a calibration's `map_threshold`.
        min_area: regions of fewer pixels are left out; at least 1.
        limit: how many regions are kept, at least 0; None: all.

    Raises:
        ValueError: the map is not 2-D or holds a NaN, the threshold is NaN, or a number is out of range.
    """
    _check(anomaly_map, threshold, min_area, limit)
    above = anomaly_map > np.array([threshold])  # a scalar would be rounded to the map's float32 first
    labels, count = ndimage.label(above, structure=np.ones((3, 3)))
    if count == 0:
        return ()
    rows, columns = np.nonzero(above)
    label = labels[rows, columns] - 1
    areas = np.bincount(label)
    peaks = np.full(count, -np.inf)
    np.maximum.at(peaks, label, anomaly_map[rows, columns])
    first = np.unique(label, return_index=True)[1]
    x, y = np.bincount(label, columns) / areas, np.bincount(label, rows) / areas
    order = np.lexsort((first, -peaks))
    boxes = ndimage.find_objects(labels)
    return tuple(
        Region(_box(boxes[i]), int(areas[i]), float(peaks[i]), (float(x[i]), float(y[i])))
        for i in order[areas[order] >= min_area][:limit]
    )


def _box(slices: tuple[slice, slice]) -> tuple[int, int, int, int]:
    rows, columns = slices
    return (int(columns.start), int(rows.start), int(columns.stop), int(rows.stop))


def _check(anomaly_map: npt.NDArray[np.float32], threshold: float, min_area: int, limit: int | None) -> None:
    if anomaly_map.ndim != 2:
        raise ValueError(f"anomaly_map must have the shape (H, W), found {anomaly_map.shape}")
    if np.isnan(anomaly_map).any():
        raise ValueError("anomaly_map holds NaN: the image was not judged")
    if math.isnan(threshold):
        raise ValueError("threshold is NaN: use the calibration's map_threshold")
    if min_area < 1:
        raise ValueError(f"min_area must be at least 1, found {min_area}")
    if limit is not None and limit < 0:
        raise ValueError(f"limit must be 0 or more, or None for all, found {limit}")
