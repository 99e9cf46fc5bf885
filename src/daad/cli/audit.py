"""`daad audit`."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

from cyclopts import Parameter

from daad.audit.options import AuditPlan
from daad.cli.fit import run_options
from daad.cli.options import chosen_options, print_model_plan, require, takes_options
from daad.detector.options import RunOptions

MOST_SHOWN = 2000  # beyond that the contact sheet alone takes more than 340 MB
WRITTEN = ("audit.csv", "contact_sheet.png", "index.html")


@takes_options(AuditPlan, RunOptions, leave_out=["run", "checkpoint_every", "cache"])
def audit(
    data: str | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    drop_to: Path | None = None,
    top: int = 60,
    **options: Any,
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
    top
        Images shown on the contact sheet and the page, at most 2,000.
    """
    from daad.audit.audit import Audit, is_own_manifest
    from daad.cli.outputs import check_output, check_results
    from daad.cli.progress import ProgressBar
    from daad.data.generated_files import AUDIT
    from daad.errors import ConfigError
    from daad.report.audit_page import write_audit

    chosen = chosen_options(options, AuditPlan)
    if options.get("print_config"):
        print_model_plan(AuditPlan.make(**chosen))
        return 0
    data, output = require(data, output, "daad audit DATA --output FOLDER")
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
    settings = chosen.pop("settings")
    with ProgressBar() as progress:
        result = Audit.of(data, **chosen, **settings, **run_options(options, output), progress=progress)
    page = write_audit(result, output, top=top)
    for row in result.rows[:5]:
        print(f"#{row.rank:<3} {row.distance:>9}  {row.name}")
    for failure in result.failures:
        print(f"left out: {failure.reason}", file=sys.stderr)
    if result.ties:
        print(
            f"{result.ties} images have the score where the suspects end; which of them are suspect is arbitrary",
            file=sys.stderr,
        )
    print(f"report: {page}")
    if drop_to is not None:
        kept = result.write_kept(drop_to)
        print(f"{drop_to}: {kept} of {len(result.rows)} images kept; daad fit {quote(str(drop_to))} --output DETECTOR")
    return 1 if result.failures else 0
