"""`daad fit`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from daad.cli.settings import LENGTHS, merged, parse_assignments, read_config

KNOWN = (
    "model",
    "preset",
    "image_size",
    "seed",
    "false_alarm_rate",
    "holdout",
    "tile",
    "overlap",
    "precision",
    "accelerator",
    "settings",
)


def fit(
    data: str | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    model: str | None = None,
    preset: str | None = None,
    image_size: Annotated[list[int] | None, Parameter(consume_multiple=True, negative=())] = None,
    seed: int | None = None,
    false_alarm_rate: float | None = None,
    holdout: float | None = None,
    tile: Annotated[list[int] | None, Parameter(consume_multiple=True, negative=())] = None,
    overlap: float | None = None,
    precision: Literal["auto", "32-true", "bf16-mixed"] | None = None,
    accelerator: str | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative=())] = None,
    config: Path | None = None,
    resume: Annotated[bool, Parameter(negative=())] = False,
    checkpoint_every: int = 200,
    cache: bool = True,
    print_config: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Learn a detector from good images.

    Parameters
    ----------
    data
        A folder of good images, an MVTec-style folder (its train/good), or a CSV or Parquet manifest.
    output
        Where the detector goes: a folder, or a file ending in .zip. Its image cache, checkpoints and log go beside it,
        to OUTPUT.run, which may be deleted afterwards.
    model
        One of those that `daad models` lists. Default: daad.
    preset
        small (CPU, minutes) or paper (GPU). Default: small.
    image_size
        Short side of the image that the model sees, or height and width; multiples of 16. Default: the preset's.
    seed
        Everything random follows from it. Default: 0.
    false_alarm_rate
        Share of good images that may be flagged; sets the threshold. Default: 0.05.
    holdout
        Share of the good images kept from training to set the threshold. Default: 0.2.
    tile
        Learn tiles of this side (or height and width), in pixels of your images, instead of whole images shrunk to
        --image-size: for large images with small defects. New images are then judged by their tiles.
    overlap
        Share of its side that a tile shares with the next when images are judged. Default: 0.25.
    precision
        Of training; scoring is always in float32. Default: auto, bf16-mixed where the CPU has it.
    accelerator
        auto, cpu or cuda. Default: auto.
    steps
        Training steps, the dial for time. Default: the preset's.
    epochs
        Passes over the images, in place of steps.
    set_
        A setting of the model as NAME=VALUE, such as division_rate=8 (`daad models NAME` lists them); may be repeated.
    config
        A YAML file with any of these settings; the command line goes over it.
    resume
        Go on from the last checkpoint of a stopped run with the same settings.
    checkpoint_every
        Steps between checkpoints.
    cache
        Keep decoded images on disk beside the detector (--no-cache keeps them in memory).
    print_config
        Print all settings as YAML, as they would be used, and stop.
    """
    given: dict[str, Any] = {
        "model": model,
        "preset": preset,
        "image_size": size(image_size),
        "seed": seed,
        "false_alarm_rate": false_alarm_rate,
        "holdout": holdout,
        "tile": size(tile),
        "overlap": overlap,
        "precision": precision,
        "accelerator": accelerator,
        "settings": model_settings(steps, epochs, set_ or []),
    }
    chosen = merged(read_config(config, (*KNOWN, *LENGTHS)), given)
    if print_config:
        return _print_config(chosen)
    return _fit(data, output, chosen, resume=resume, checkpoint_every=checkpoint_every, cache=cache)


def _fit(data: str | None, output: Path | None, chosen: dict[str, Any], **run: Any) -> int:
    from daad.cli.progress import ProgressBar
    from daad.detector.detector import Detector, prepare_output
    from daad.errors import ConfigError

    if data is None or output is None:
        missing = "DATA" if data is None else "--output"
        raise ConfigError(f"{missing} is missing: daad fit DATA --output DETECTOR")
    prepare_output(output)
    settings = chosen.pop("settings")
    with ProgressBar() as progress:
        detector = Detector.fit(data, **chosen, **settings, **run, run=run_folder(output), progress=progress)
    detector.save(output)
    describe(detector, output)
    return 0


def run_folder(output: Path) -> Path:
    """The folder beside a detector that holds its image cache, checkpoints and log."""
    from daad.artifact.place import resolved

    place = resolved(output)
    return place.with_name(f"{place.name}.run")


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


def size(values: list[int] | None) -> Any:
    """One number as it is, several as a tuple, none as None; FitPlan says what is wrong with others."""
    if not values:
        return None
    return values[0] if len(values) == 1 else tuple(values)


def model_settings(steps: int | None, epochs: int | None, assignments: list[str]) -> dict[str, Any]:
    """The model's settings among the options of a command."""
    lengths = {name: value for name, value in (("steps", steps), ("epochs", epochs)) if value is not None}
    return {**parse_assignments(assignments), **lengths}


def _print_config(chosen: dict[str, Any]) -> int:
    import json

    import yaml

    from daad.detector.options import FitPlan

    plan = FitPlan.make(**chosen)
    plan.check()
    size = plan.size()
    plan.config(*(size if isinstance(size, tuple) else (size, size)), channels=1)
    everything = {**{name: getattr(plan, name) for name in KNOWN}, "image_size": size, "settings": plan.all_settings()}
    print(yaml.safe_dump(json.loads(json.dumps(everything)), sort_keys=False), end="")
    return 0
