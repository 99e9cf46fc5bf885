"""Near-duplicates in a pool of images: the same picture saved twice, re-encoded, or taken twice of a scene at rest.

images -> thumbnails (16 x 16, grey) -> unique ones -> k-d tree on their principal components -> pairs -> groups
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

Floats = npt.NDArray[np.float32]
SIDE = 16
TOLERANCE = 1.5 / 255  # root mean square difference of thumbnails, in units of the full range
COMPONENTS = 8
NEIGHBOURS = 8
CHUNK = 1024
FEW = 8  # images, too few for a typical distance


def duplicate_groups(images: npt.NDArray[Any], tolerance: float | None = None) -> npt.NDArray[np.int64]:
    """The group of each image (N,): near-duplicates have the same number, in the order of the groups' first images.

    Two images are linked if their thumbnails differ by at most `tolerance` and one is among the eight nearest of the
    other. Groups are the connected components of the links. Memory: 4 KiB an image.

    Args:
        images: (N, H, W, C) uint8 or uint16, H and W at least 16; may be mapped from disk.
        tolerance: root mean square difference of thumbnails, white is 1; None: `tolerance_for`.
    """
    thumbs = thumbnails(images)
    unique, member = np.unique(thumbs, axis=0, return_inverse=True)
    pairs = _near_pairs(unique, tolerance_for(unique) if tolerance is None else tolerance)
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(unique), len(unique)))
    groups = connected_components(links, directed=False)[1][member.reshape(-1)]
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def tolerance_for(thumbs: Floats) -> float:
    """TOLERANCE, and at most half of the median distance of two thumbnails of the pool (N, 256).

    Where a camera sees one part after another in the same position, all images are nearly alike and yet not duplicates.
    """
    if len(thumbs) < FEW:
        return TOLERANCE
    others = np.roll(thumbs, len(thumbs) // 2, axis=0)
    return min(TOLERANCE, float(np.median(np.linalg.norm(thumbs - others, axis=1))) / SIDE / 2)


def thumbnails(images: npt.NDArray[Any]) -> Floats:
    """Grey means over a grid of 16 x 16 cells, (N, 256), white is 1; images are read a chunk at a time."""
    count, height, width, channels = images.shape
    rows, columns = (np.linspace(0, side, SIDE + 1).astype(int) for side in (height, width))
    area = np.diff(rows)[:, None] * np.diff(columns) * channels * np.float32(np.iinfo(images.dtype).max)
    means = np.empty((count, SIDE * SIDE), np.float32)
    for start in range(0, count, CHUNK):
        grey = images[start : start + CHUNK].sum(axis=3, dtype=np.float32)
        cells = np.add.reduceat(np.add.reduceat(grey, rows[:-1], axis=1), columns[:-1], axis=2)
        means[start : start + CHUNK] = (cells / area).reshape(len(grey), -1)
    return means


def _near_pairs(thumbs: Floats, tolerance: float) -> npt.NDArray[np.int64]:
    """Pairs (M, 2) of rows that differ by at most `tolerance`, among each row's nearest.

    The tree holds projections on the principal components. A projection never lengthens a distance, so no near pair is
    lost; pairs that are near in the projection alone are removed by their distance in full.
    """
    scaled = (thumbs - thumbs.mean(axis=0)) / SIDE  # Euclidean distance of rows is now their root mean square one
    _, components = np.linalg.eigh(scaled.T @ scaled)
    projected = scaled @ components[:, -COMPONENTS:]
    nearest = min(NEIGHBOURS + 1, len(thumbs))
    _, neighbours = KDTree(projected).query(projected, k=nearest, distance_upper_bound=tolerance * 1.001, workers=-1)
    rows = np.repeat(np.arange(len(thumbs)), nearest)
    others = neighbours.reshape(-1)
    valid = (others < len(thumbs)) & (others != rows)
    rows, others = rows[valid], others[valid]
    distances = np.concatenate(
        [
            np.linalg.norm(scaled[rows[i : i + CHUNK]] - scaled[others[i : i + CHUNK]], axis=1)
            for i in range(0, len(rows), CHUNK)
        ]
        or [np.empty(0)]
    )
    return np.stack([rows, others], axis=1)[distances <= tolerance]
