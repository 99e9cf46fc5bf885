"""`daad demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter


def demo(
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("demo"),
    model: str = "daad",
    seed: int = 0,
    steps: int | None = None,
) -> int:
    """Learn good solar cells, judge unseen good and defective ones, write a report: real images, no network.

    Parameters
    ----------
    output
        A folder for the split, the detector and the report.
    model
        One of those that `daad models` lists.
    seed
        Of the split and of everything random in training.
    steps
        Training steps; fewer is faster and worse. Default: the preset's.
    """
    from time import monotonic

    from daad.cli.evaluate import WRITTEN
    from daad.cli.fit import describe, run_folder
    from daad.cli.outputs import check_results
    from daad.cli.progress import ProgressBar
    from daad.data.demo import write_demo_split
    from daad.data.generated_files import EVALUATION
    from daad.detector.detector import Detector
    from daad.report.results import write_results

    started = monotonic()
    check_results(output / "report", EVALUATION, WRITTEN)
    split = write_demo_split(output, seed)
    settings: dict[str, Any] = {} if steps is None else {"steps": steps}
    place = output / "detector"
    with ProgressBar() as progress:
        detector = Detector.fit(split, model=model, seed=seed, run=run_folder(place), progress=progress, **settings)
        detector.save(place)
        describe(detector, place)
        evaluation = detector.evaluate(split, progress=progress)
    page = write_results(detector, evaluation, split, output / "report")
    auroc = evaluation.metrics["image_auroc"]
    print(
        f"image AUROC {auroc.value:.3f} [{auroc.low:.3f}, {auroc.high:.3f}] on {evaluation.counts['good']} good and "
        f"{evaluation.counts['anomalous']} defective cells that it never saw; {monotonic() - started:.0f} s in all"
    )
    print(f"report: {page.resolve()}")
    return 0
