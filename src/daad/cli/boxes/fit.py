"""`daad boxes fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from daad.boxes.options import OF_THE_DATA, BoxPlan
from daad.cli.options import chosen_options, print_yaml, require, takes_options
from daad.detector.options import RunOptions


@takes_options(BoxPlan, RunOptions, leave_out=["run", "features"])
def fit(
    data: str | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    images: Path | None = None,
    **options: Any,
) -> int:
    """Learn to find boxes from images with labelled boxes.

    Parameters
    ----------
    data
        A COCO file, or a folder: with train.json (COCO), with Pascal VOC .xml files, a YOLO folder (images, labels,
        data.yaml), or an MVTec-style folder, whose masks become boxes (the first 70 % of each kind of defect).
    output
        Where the detector goes: a folder, or a file ending in .zip. Its image cache, checkpoints and log go beside it,
        to OUTPUT.run, which may be deleted afterwards.
    images
        The folder of the images, where annotations in COCO or VOC form lie elsewhere.
    """
    from daad.cli.fit import run_options

    chosen = chosen_options(options, BoxPlan)
    if options.get("print_config"):
        return _print_config(chosen)
    data, output = require(data, output, "daad boxes fit DATA --output DETECTOR")
    from daad.boxes.detector import BoxDetector
    from daad.cli.progress import ProgressBar
    from daad.detector.detector import prepare_output

    prepare_output(output)
    settings, run = chosen.pop("settings"), run_options(options, output)
    with ProgressBar() as progress:
        detector = BoxDetector.fit(data, images=images, **chosen, **settings, **run, progress=progress)
    detector.save(output)
    _describe(detector, output)
    return 0


def _describe(detector: Any, output: Path) -> None:
    from daad.cli.outputs import tell

    facts, confidence = detector.provenance, detector.confidence
    boxes = sum(facts["boxes"].values())
    images = f"{facts['images']['fit']} images"
    source = f"{facts['tiles']} tiles of {images}" if "tiles" in facts else images
    print(
        f"{output}: {boxes} boxes of {len(detector.classes)} classes learnt from {source} in "
        f"{facts['training']['seconds']:.0f} s; boxes are shown from score {confidence.threshold:.3f}"
    )
    if confidence.f1 is not None:
        print(
            f"on {confidence.images} held-out images, on which this score was chosen: precision "
            f"{confidence.precision:.3f}, recall {confidence.recall:.3f} at IoU .5"
        )
    tell("note", [*([confidence.note] if confidence.note else []), *facts["notes"]])
    tell("left out", [failure["reason"] for failure in facts["left_out"]])


def _print_config(chosen: dict[str, Any]) -> int:
    from daad.boxes.scod import SCODConfig

    plan = BoxPlan.make(**chosen)
    plan.check()
    fields = {name: field.default for name, field in SCODConfig.model_fields.items() if name not in OF_THE_DATA}
    options = {name: getattr(plan, name) for name in BoxPlan.names()}
    print_yaml({**options, "image_size": plan.size(), "settings": {**fields, **plan.all_settings()}})
    return 0
