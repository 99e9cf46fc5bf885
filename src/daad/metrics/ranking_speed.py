"""How soon a person who looks through a ranking from the top finds what is there.

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
    """The place, 1 the first, of the highest-ranked anomalous item; the expected one where it shares its score."""
    _, normal, anomalous = tally(labels, scores)
    if not anomalous.any():
        return math.nan
    level = int(np.argmax(anomalous > 0))
    before = float(normal[:level].sum())
    return before + expected_first_detection(int(normal[level] + anomalous[level]), int(anomalous[level]))


def expected_first_detection(items: int, anomalous: int) -> float:
    """The same for random order: (n + 1) / (m + 1). (The released code has n / (m + 1).) NaN where there is none."""
    return (items + 1) / (anomalous + 1) if anomalous else math.nan
