"""How soon a person who reads a ranking from the top meets anomalous items.

Labels and scores as in `daad.metrics.ranking`; equal scores count as if drawn in random order, so the result never
depends on the order of the data. Source: the released code of Lesnikowski et al., IEEE JSTARS 2024.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from daad.metrics.ranking import average_precision, tally


def improvement_factor(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Average precision over the share of anomalous items: about 1 for random scores and many items."""
    return average_precision(labels, scores) / float(np.mean(np.asarray(labels, dtype=np.float64)))


def first_detection(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The rank, from 1, of the highest-ranked anomalous item; the expected rank where others have its score."""
    _, normal, anomalous = tally(labels, scores)
    if not anomalous.any():
        return math.nan
    tie = int(np.argmax(anomalous > 0))  # the index of the highest score that an anomalous item has
    before = float(normal[:tie].sum())
    return before + expected_first_detection(int(normal[tie] + anomalous[tie]), int(anomalous[tie]))


def expected_first_detection(items: int, anomalous: int) -> float:
    """The same for n items, m of them anomalous, in random order: (n + 1) / (m + 1); NaN where m is 0.

    The released code has n / (m + 1).
    """
    return (items + 1) / (anomalous + 1) if anomalous else math.nan
