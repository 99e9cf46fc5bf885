"""`daad info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

CHECKED = "hashes and golden sample"


def info(detector: Path, /, *, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Say what a saved detector is; its hashes and its golden sample are checked on the way.

    Parameters
    ----------
    detector
        A detector that `daad fit` or `daad boxes fit` made.
    json
        Print everything as JSON.
    """
    import json as json_module

    import yaml

    from daad.artifact.read import kind_of

    facts = _of_boxes(detector) if kind_of(detector) == "daad-box-detector" else _of_anomalies(detector)
    print(
        json_module.dumps(facts, indent=2) if json else yaml.safe_dump(facts, sort_keys=False), end="\n" if json else ""
    )
    return 0


def _of_anomalies(detector: Path) -> dict[str, Any]:
    from daad.artifact.manifest import Manifest
    from daad.artifact.read import read_artifact
    from daad.detector.detector import Detector

    manifest, _, _ = read_artifact(detector, Manifest)
    stored = manifest.config.get("features") != "module"
    if stored:
        Detector.load(detector)
    calibration = manifest.calibration
    return {
        "model": manifest.model,
        "checked": CHECKED if stored else "hashes alone: it stands on a module of your own",
        "preprocess": manifest.preprocess.model_dump(mode="json"),
        "calibration": {
            "threshold": calibration.threshold,
            "map_threshold": calibration.map_threshold,
            "false_alarm_rate": calibration.false_alarm_rate,
            "guaranteed_rate": calibration.guaranteed_rate,
            "held_out": len(calibration.scores),
            "unit": calibration.unit,
        },
        "config": manifest.config,
        "provenance": manifest.provenance,
    }


def _of_boxes(detector: Path) -> dict[str, Any]:
    from daad.boxes.detector import BoxDetector

    boxes = BoxDetector.load(detector)
    return {
        "model": "scod",
        "checked": CHECKED,
        "classes": list(boxes.classes),
        "preprocess": boxes.preprocess.model_dump(mode="json"),
        "confidence": boxes.confidence.model_dump(mode="json"),
        "config": boxes.model.config.model_dump(mode="json"),
        "reference": boxes.reference.model_dump(mode="json", exclude={"learnt_images"}),
        "provenance": boxes.provenance,
    }
