"""`daad info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def info(detector: Path, /, *, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Say what a saved detector is; its hashes and its golden sample are checked on the way.

    Parameters
    ----------
    detector
        A detector that `daad fit` made.
    json
        Print everything as JSON.
    """
    import json as json_module

    import yaml

    from daad.detector.detector import Detector

    found = Detector.load(detector)
    calibration = found.calibration
    facts = {
        "model": found.name,
        "preprocess": found.preprocess.model_dump(mode="json"),
        "calibration": {
            "threshold": calibration.threshold,
            "map_threshold": calibration.map_threshold,
            "false_alarm_rate": calibration.false_alarm_rate,
            "guaranteed_rate": calibration.guaranteed_rate,
            "held_out": len(calibration.scores),
            "unit": calibration.unit,
        },
        "config": found.model.config.model_dump(mode="json"),
        "provenance": found.provenance,
    }
    print(
        json_module.dumps(facts, indent=2) if json else yaml.safe_dump(facts, sort_keys=False), end="\n" if json else ""
    )
    return 0
