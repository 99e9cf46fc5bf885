"""`daad search`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from daad.cli.options import side, takes_options
from daad.search.options import SearchPlan

WRITTEN = ("candidates.csv", "candidates.geojson", "mosaic.png", "index.html", "maps")


@takes_options(SearchPlan, model=False)
def search(
    *scenes: str,
    detector: Annotated[Path, Parameter(alias="-d")],
    output: Annotated[Path, Parameter(alias="-o")],
    resume: Annotated[bool, Parameter(negative=())] = False,
    **options: Any,
) -> int:
    """One strange spot in a huge scene: judge every tile, and show the strangest places.

    Parameters
    ----------
    scenes
        Images of any size, or folders of them. BigTIFF, tiled TIFF and JPEG 2000 are read piece by piece, which needs
        pip install "daad[scenes]".
    detector
        A detector that `daad fit` made, best with --tile.
    output
        A folder for candidates.csv, candidates.geojson (where a scene lies on Earth), mosaic.png, maps/ and index.html.
        What --resume needs goes beside it, to OUTPUT.run, which may be deleted afterwards.
    resume
        Go on where a stopped search of the same scenes with the same detector was.
    """
    from daad.cli.fit import run_folder
    from daad.cli.outputs import check_results
    from daad.cli.progress import ProgressBar
    from daad.data.generated_files import SEARCH
    from daad.detector.detector import Detector
    from daad.errors import ConfigError
    from daad.report.search_page import write_search
    from daad.search.search import Search
    from daad.search.sources import scene_samples

    samples = scene_samples(scenes)
    if any(isinstance(sample.image, Path) and sample.image.resolve().parent == output.resolve() for sample in samples):
        raise ConfigError(f"--output {output}: scenes lie there, and might be written over; choose another folder")
    check_results(output, SEARCH, WRITTEN)
    with ProgressBar() as progress:
        result = Search.of(
            samples,
            Detector.load(detector),
            **{name: side(value) for name, value in options.items() if value is not None},
            run=run_folder(output),
            resume=resume,
            progress=progress,
        )
    page = write_search(result, output)
    for candidate in result.candidates[:5]:
        place = f"x {candidate.peak_x}, y {candidate.peak_y}"
        print(f"#{candidate.rank:<3} {candidate.deviations:+7.1f} sd  {place:<22} {candidate.scene}")
    for failure in result.failures:
        print(f"not searched to the end: {failure.reason}", file=sys.stderr)
    print(f"report: {page}")
    return 1 if result.failures else 0
