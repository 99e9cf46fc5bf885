"""One anomaly in a huge scene: `daad.search(...)` ranks the tiles of scenes larger than memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daad.callable_package import make_callable

if TYPE_CHECKING:
    from daad.search.search import Search


def search(scenes: Any, detector: Any, *, progress: Any = None, **options: Any) -> Search:
    """Rank the tiles of scenes of any size by anomaly score; see `daad.Search.of` for the options.

    Args:
        scenes: a path, a folder (searched with its sub-folders), an array, or a list of these.
        detector: a `Judge`, such as a detector, or the path of a saved detector.
        progress: called with (phase, done, total) as work goes on.
        **options: those of `daad.Search.of`.
    """
    from pathlib import Path

    from daad.search.search import Search

    if isinstance(detector, str | Path):
        from daad.detector.detector import Detector

        detector = Detector.load(detector)
    return Search.of(scenes, detector, progress=progress, **options)


make_callable(__name__, search)
