"""A prediction as one row of a table."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from daad.scoring.prediction import Prediction


def prediction_record(prediction: Prediction, threshold: float) -> dict[str, Any]:
    """Plain values: numbers that do not exist are None; regions are a list of box, area, peak and centroid.

    `threshold` is the detector's, which stands in every row, those of images that could not be judged too.
    """
    return {
        "name": prediction.name,
        "score": _number(prediction.score),
        "p_value": _number(prediction.p_value),
        "is_anomalous": prediction.is_anomalous,
        "threshold": threshold,
        "regions": [asdict(region) for region in prediction.regions],
        "error": prediction.error,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
