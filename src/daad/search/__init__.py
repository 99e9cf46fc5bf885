"""One strange spot in a huge scene: `daad.search(...)` ranks the tiles of scenes larger than memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daad.callable_package import make_callable

if TYPE_CHECKING:
    from daad.search.search import Search


def search(scenes: Any, detector: Any, *, progress: Any = None, **options: Any) -> Search:
    """Rank the tiles of scenes, each of any size, by how unlike what a detector learnt they are; see
    `daad.Search.of`."""
    from pathlib import Path

    from daad.search.search import Search

    if isinstance(detector, str | Path):
        from daad.detector.detector import Detector

        detector = Detector.load(detector)
    return Search.of(scenes, detector, progress=progress, **options)


make_callable(__name__, search)
