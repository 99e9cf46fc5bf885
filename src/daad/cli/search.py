"""`daad search`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

WRITTEN = ("candidates.csv", "candidates.geojson", "mosaic.png", "index.html", "maps")


def search(
    *scenes: str,
    detector: Annotated[Path, Parameter(alias="-d")],
    output: Annotated[Path, Parameter(alias="-o")],
    top: int = 50,
    tile: Annotated[list[int] | None, Parameter(consume_multiple=True, negative=())] = None,
    overlap: float | None = None,
    max_no_data: float = 0.0,
    no_data: float | None = None,
    per_scene: Annotated[bool, Parameter(negative=())] = False,
    resume: Annotated[bool, Parameter(negative=())] = False,
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
    top
        Places to keep, of all scenes together.
    tile
        Side of a tile (or height and width) in pixels. Default: the detector's, or its model's size.
    overlap
        Share of its side that a tile shares with the next. Default: the detector's, or 0.25.
    max_no_data
        Share of a tile that may be without data; tiles with more are not judged.
    no_data
        Pixel value that means no data, such as 0 for black borders, beside what a file says of itself.
    per_scene
        Rank by how far a tile lies from the others of its own scene, so that no bright scene takes all places.
    resume
        Go on where a stopped search of the same scenes with the same detector was.
    """
    from daad.cli.fit import run_folder
    from daad.cli.options import side
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
        found = Search.of(
            samples,
            Detector.load(detector),
            top=top,
            tile=side(tile),
            overlap=overlap,
            max_no_data=max_no_data,
            no_data=no_data,
            per_scene=per_scene,
            run=run_folder(output),
            resume=resume,
            progress=progress,
        )
    page = write_search(found, output)
    for candidate in found.candidates[:5]:
        place = f"x {candidate.peak_x}, y {candidate.peak_y}"
        print(f"#{candidate.rank:<3} {candidate.deviations:+7.1f} sd  {place:<22} {candidate.scene}")
    for failure in found.failures:
        print(f"not searched to the end: {failure.reason}", file=sys.stderr)
    print(f"report: {page}")
    return 1 if found.failures else 0
