"""`daad fit`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from daad.cli.options import chosen_options, print_model_plan, require, takes_options
from daad.detector.options import FitPlan, RunOptions


@takes_options(FitPlan, RunOptions, leave_out=["run"])
def fit(
    data: str | None = None, /, *, output: Annotated[Path | None, Parameter(alias="-o")] = None, **options: Any
) -> int:
    """Learn a detector from good images.

    Parameters
    ----------
    data
        A folder of good images, an MVTec-style folder (its train/good), or a CSV or Parquet manifest.
    output
        Where the detector goes: a folder, or a file ending in .zip. Its image cache, checkpoints and log go beside it,
        to OUTPUT.run, which may be deleted afterwards.
    """
    chosen = chosen_options(options, FitPlan)
    if options.get("print_config"):
        print_model_plan(FitPlan.make(**chosen))
        return 0
    from daad.cli.progress import ProgressBar
    from daad.detector.detector import Detector, prepare_output

    data, output = require(data, output, "daad fit DATA --output DETECTOR")
    prepare_output(output)
    settings = chosen.pop("settings")
    with ProgressBar() as progress:
        detector = Detector.fit(data, **chosen, **settings, **run_options(options, output), progress=progress)
    detector.save(output)
    describe(detector, output)
    return 0


def run_options(options: dict[str, Any], output: Path) -> dict[str, Any]:
    """The options of a run: its folder lies beside the output."""
    given = {name: options[name] for name in ("resume", "checkpoint_every", "cache") if options.get(name) is not None}
    return {**given, "run": run_folder(output)}


def run_folder(output: Path) -> Path:
    """The folder beside a detector that holds its image cache, checkpoints and log."""
    from daad.artifact.place import resolved

    path = resolved(output)
    return path.with_name(f"{path.name}.run")


def describe(detector: Any, output: Path) -> None:
    """Say on stdout what was made, and on stderr what to know of it."""
    images, calibration = detector.provenance["images"], detector.calibration
    training, tiles = detector.provenance["training"], detector.provenance.get("tiles")
    learnt = f"{tiles['fit']} tiles of {images['fit']} images" if tiles else f"{images['fit']} images"
    held_out = (
        f"{tiles['calibration']} held-out tiles"
        if calibration.unit == "tile"
        else f"{images['calibration']} held-out ones"
    )
    print(
        f"{output}: {detector.name}, learnt from {learnt} in {training['seconds']:.0f} s, "
        f"threshold {calibration.threshold:.6g} from {held_out} "
        f"(false-alarm rate at most {calibration.guaranteed_rate:.3g})"
    )
    if calibration.unit == "tile":
        print(
            "note: too few images, or too large ones, to hold any out whole: the false-alarm rate is one of tiles, and "
            "an image of many tiles is flagged far more often; rank scenes with daad search",
            file=sys.stderr,
        )
    if calibration.note:
        print(f"note: {calibration.note}", file=sys.stderr)
    for failure in detector.provenance["left_out"]:
        print(f"left out: {failure['reason']}", file=sys.stderr)
