"""`daad boxes fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from daad.boxes.options import OF_THE_DATA, BoxPlan
from daad.cli.options import chosen_options, print_yaml, takes_options
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
    from daad.errors import ConfigError

    chosen = chosen_options(options, BoxPlan)
    if options.get("print_config"):
        return _print_config(chosen)
    if data is None or output is None:
        missing = "DATA" if data is None else "--output"
        raise ConfigError(f"{missing} is missing: daad boxes fit DATA --output DETECTOR")
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

    made, found = detector.provenance, detector.confidence
    boxes = sum(made["boxes"].values())
    images = f"{made['images']['fit']} images"
    source = f"{made['tiles']} tiles of {images}" if "tiles" in made else images
    print(
        f"{output}: {boxes} boxes of {len(detector.classes)} classes learnt from {source} in "
        f"{made['training']['seconds']:.0f} s; boxes are shown from score {found.threshold:.3f}"
    )
    if found.f1 is not None:
        print(
            f"on {found.images} held-out images, on which this score was chosen: precision {found.precision:.3f}, "
            f"recall {found.recall:.3f} at IoU .5"
        )
    tell("note", [*([found.note] if found.note else []), *made["notes"]])
    tell("left out", [failure["reason"] for failure in made["left_out"]])


def _print_config(chosen: dict[str, Any]) -> int:
    from daad.boxes.scod import SCODConfig

    plan = BoxPlan.make(**chosen)
    plan.check()
    fields = {name: field.default for name, field in SCODConfig.model_fields.items() if name not in OF_THE_DATA}
    everything = {name: getattr(plan, name) for name in BoxPlan.names()}
    print_yaml({**everything, "image_size": plan.size(), "settings": {**fields, **plan.all_settings()}})
    return 0
