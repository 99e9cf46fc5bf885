"""One anomaly in a huge scene: `daad.search(...)` ranks the tiles of scenes larger than memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from daad.callable_package import make_callable
from daad.runtime.progress import Progress
from daad.search.options import SearchPlan
from daad.settings import takes

if TYPE_CHECKING:
    from daad.search.search import Search


@takes(SearchPlan)
def search(
    scenes: Any,
    detector: Any,
    *,
    run: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Search:
    """Rank the tiles of scenes of any size by anomaly score: the same as `daad.Search.of`.

    Args:
        scenes: a path, a folder (searched with its sub-folders), an array, or a list of these.
        detector: a `Judge`, such as a detector, or the path of a saved detector.
        progress: called with (phase, done, total) as work goes on.
        run: a folder that keeps all results; without one they are kept in memory.
        resume: a stopped search goes on from its folder.
        {options}
    """
    from daad.search.search import Search

    if isinstance(detector, str | Path):
        from daad.detector.detector import Detector

        detector = Detector.load(detector)
    return Search.of(scenes, detector, run=run, resume=resume, progress=progress, **options)


make_callable(__name__, search)
