"""`daad boxes fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from daad.cli.settings import LENGTHS, merged, read_config

KNOWN = ("preset", "image_size", "seed", "holdout", "tile", "overlap", "precision", "accelerator", "settings")


def fit(
    data: str | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    images: Path | None = None,
    preset: str | None = None,
    image_size: Annotated[list[int] | None, Parameter(consume_multiple=True, negative=())] = None,
    seed: int | None = None,
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
    preset
        small (CPU, minutes) or paper (SSD300, GPU). Default: small.
    image_size
        Short side of the image that the network sees, or height and width; at least 64. Default: the preset's, or with
        --tile the tile's.
    seed
        Everything random follows from it. Default: 0.
    holdout
        Share of the images kept from training to set the score from which a box is shown. Default: 0.1.
    tile
        Learn tiles of this side (or height and width), in pixels of your images, instead of whole images shrunk to
        --image-size: for large images with small defects. New images, however large, are then searched by their tiles.
    overlap
        Share of its side that a tile shares with the next when images are searched; a box up to that size is seen
        whole. Default: from 0.25 to 0.5, enough for nine boxes of ten.
    precision
        Of training; boxes are always found in float32. Default: auto, bf16-mixed where the CPU has it.
    accelerator
        auto, cpu or cuda. Default: auto.
    steps
        Training steps, the dial for time.
    epochs
        Passes over the images, in place of steps. Default: the preset's.
    set_
        A setting as NAME=VALUE, such as segmentation=none (--print-config shows all); may be repeated.
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
    from daad.cli.fit import model_settings, run_folder, size
    from daad.errors import ConfigError

    given: dict[str, Any] = {
        "preset": preset,
        "image_size": size(image_size),
        "seed": seed,
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
    if data is None or output is None:
        missing = "DATA" if data is None else "--output"
        raise ConfigError(f"{missing} is missing: daad boxes fit DATA --output DETECTOR")
    from daad.boxes.detector import BoxDetector
    from daad.cli.progress import ProgressBar
    from daad.detector.detector import prepare_output

    prepare_output(output)
    settings = chosen.pop("settings")
    run: dict[str, Any] = {"run": run_folder(output), "resume": resume, "checkpoint_every": checkpoint_every}
    with ProgressBar() as progress:
        detector = BoxDetector.fit(data, images=images, **chosen, **settings, **run, cache=cache, progress=progress)
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
    import json

    import yaml

    from daad.boxes.options import OF_THE_DATA, BoxPlan
    from daad.boxes.scod import SCODConfig

    plan = BoxPlan.make(**chosen)
    plan.check()
    settings = plan.all_settings()
    fields = {name: field.default for name, field in SCODConfig.model_fields.items() if name not in OF_THE_DATA}
    everything = {**{name: getattr(plan, name) for name in KNOWN}, "image_size": plan.size()}
    everything["settings"] = {**fields, **settings}
    print(yaml.safe_dump(json.loads(json.dumps(everything)), sort_keys=False), end="")
    return 0
