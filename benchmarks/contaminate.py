"""Pools with known outliers, to measure on: one class is normal, a share of others is mixed in.

Source: the protocol of E3Outlier (Wang et al., NeurIPS 2019), which MCOD's first release follows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from daad.errors import ConfigError, DataError

Rows = npt.NDArray[np.int64]


def contaminate(
    labels: npt.NDArray[Any], normal: Any, share: float, seed: int, *, normals: int | None = None
) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Rows of a pool and which of them are outliers, both (M,), in random order.

    All images of class `normal`, or `normals` of them by chance, and n p / (1 - p) of the other classes, rounded down,
    so that a `share` p of the pool is outliers. Raises ConfigError unless 0 < share < 1, DataError for too few images.
    """
    if not 0 < share < 1:
        raise ConfigError(f"share {share}: the share of outliers must lie between 0 and 1, such as 0.1")
    rng = np.random.default_rng(seed)
    mine, others = np.flatnonzero(labels == normal), np.flatnonzero(labels != normal)
    wanted = len(mine) if normals is None else normals
    outliers = int(wanted * share / (1 - share) + 1e-9)
    for found, needed, what in ((mine, max(wanted, 1), f"of class {normal}"), (others, outliers, "of other classes")):
        if len(found) < needed:
            raise DataError(f"{needed} images {what} are asked for, {len(found)} are there; ask for fewer")
    rows = np.concatenate([rng.choice(mine, wanted, replace=False), rng.choice(others, outliers, replace=False)])
    order = rng.permutation(len(rows))
    return rows[order], order >= wanted
