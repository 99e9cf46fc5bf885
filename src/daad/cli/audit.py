"""`daad audit`."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

from cyclopts import Parameter

from daad.cli.fit import model_settings, run_folder, size

MOST_SHOWN = 2000  # beyond that the contact sheet alone takes more than 340 MB
WRITTEN = ("audit.csv", "contact_sheet.png", "index.html")


def audit(
    data: str,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    drop_to: Path | None = None,
    contamination: float = 0.05,
    top: int = 60,
    model: str = "daad",
    preset: str = "small",
    image_size: Annotated[list[int] | None, Parameter(consume_multiple=True, negative=())] = None,
    seed: int = 0,
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto",
    accelerator: str = "auto",
    steps: int | None = None,
    epochs: int | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative=())] = None,
    resume: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Which of my good images are not good? Learn from a pool without labels and rank the same pool.

    Parameters
    ----------
    data
        A folder of images, an MVTec-style folder (its train/good), or a CSV or Parquet manifest: all its rows where
        none has a label, else those that are labelled good; none of a test split.
    output
        A folder for audit.csv, contact_sheet.png and index.html. The image cache, checkpoints and log go beside it, to
        OUTPUT.run, which may be deleted afterwards.
    drop_to
        Also write a CSV manifest of the images that are not suspect, which `daad fit` takes.
    contamination
        Share of the images to call suspect, above 0 and at most 0.5. It moves no score.
    top
        Images shown on the contact sheet and the page, at most 2,000.
    model
        One of those that `daad models` lists: daad looks for odd places in images, mcod for odd images as wholes.
    preset
        A preset of the model.
    image_size
        Short side of the image that the model sees, or height and width; multiples of 16. Default: the preset's.
    seed
        Everything random follows from it.
    precision
        Of training; scoring is always in float32. auto: bf16-mixed where the CPU has it.
    accelerator
        auto, cpu or cuda.
    steps
        Training steps, the dial for time. Default: the preset's.
    epochs
        Passes over the images, in place of steps.
    set_
        A setting of the model as NAME=VALUE (`daad models NAME` lists them); may be repeated.
    resume
        Go on from the last checkpoint of a stopped audit with the same settings.
    """
    import daad
    from daad.audit.audit import is_own_manifest
    from daad.cli.outputs import check_output, check_results
    from daad.cli.progress import ProgressBar
    from daad.data.generated_files import AUDIT
    from daad.errors import ConfigError
    from daad.report.audit_page import write_audit

    if not 1 <= top <= MOST_SHOWN:
        raise ConfigError(f"--top {top}: show 1 to {MOST_SHOWN:,} images; audit.csv has them all")
    if drop_to is not None:
        if drop_to.suffix.lower() != ".csv":
            raise ConfigError(f"--drop-to {drop_to}: the manifest is a CSV file; end its name in .csv")
        if drop_to.resolve() == Path(data).resolve():
            raise ConfigError(f"--drop-to {drop_to}: is DATA and would be written over; choose another name")
        if drop_to.resolve() in {(output / name).resolve() for name in WRITTEN}:
            raise ConfigError(f"--drop-to {drop_to}: is one of the results; choose another name")
        check_output(drop_to, None, is_own_manifest)
    check_results(output, AUDIT, WRITTEN)
    with ProgressBar() as progress:
        found = daad.audit(
            data,
            model=model,
            preset=preset,
            contamination=contamination,
            image_size=size(image_size),
            seed=seed,
            precision=precision,
            accelerator=accelerator,
            run=run_folder(output),
            resume=resume,
            progress=progress,
            **model_settings(steps, epochs, set_ or []),
        )
    page = write_audit(found, output, top=top)
    for row in found.rows[:5]:
        print(f"#{row.rank:<3} {row.distance:>9}  {row.name}")
    for failure in found.failures:
        print(f"left out: {failure.reason}", file=sys.stderr)
    if found.ties:
        print(
            f"{found.ties} images have the score where the suspects end; which of them are suspect is arbitrary",
            file=sys.stderr,
        )
    print(f"report: {page}")
    if drop_to is not None:
        kept = found.write_kept(drop_to)
        print(f"{drop_to}: {kept} of {len(found.rows)} images kept; daad fit {quote(str(drop_to))} --output DETECTOR")
    return 1 if found.failures else 0
