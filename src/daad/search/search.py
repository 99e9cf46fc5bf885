"""`search`: judge every tile of scenes of any size, rank them all, keep those of the highest scores.

scenes -> headers -> (for each scene, for each tile row: scores, peaks, overview) -> candidates -> ranked -> Search
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daad.data.sample import Failure, Sample
from daad.data.tiles import Tiling
from daad.errors import DataError
from daad.runtime.judge import Judge
from daad.runtime.progress import Progress, silent
from daad.search.candidates import Candidate, rank_candidates
from daad.search.options import SearchPlan
from daad.search.scene import SearchContext, SearchedScene, scene_tasks, search_identity, search_scene
from daad.search.sources import scene_samples
from daad.search.state import search_folder
from daad.settings import takes


@dataclass(frozen=True)
class Search:
    """The result of a search.

    Args:
        candidates: the tiles of the highest scores of all scenes, the highest first.
        scenes: the searched scenes, in the order given.
        failures: the scenes that could not be searched to the end.
        samples: the scenes as they were given.
        tiling: how they were cut into tiles.
        map_threshold: the highest map value on the images that the detector was calibrated on.
        provenance: what the search was made with, for people.
    """

    candidates: list[Candidate]
    scenes: list[SearchedScene]
    failures: list[Failure]
    samples: list[Sample]
    tiling: Tiling
    map_threshold: float
    provenance: dict[str, Any] = field(default_factory=dict)

    @classmethod
    @takes(SearchPlan)
    def of(
        cls,
        scenes: Any,
        judge: Judge,
        *,
        run: str | Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
        **options: Any,
    ) -> Search:
        """Rank the tiles of scenes of any size by anomaly score.

        BigTIFF, tiled TIFF and JPEG 2000 are read window by window (`pip install "daad[scenes]"`), so memory does not
        grow with a scene's height.

        Args:
            scenes: a path, a folder (searched with its sub-folders), an array, or a list of these.
            judge: a detector, or any other `Judge`.
            run: a folder for the arrays of the search; without one they are kept in memory.
            resume: go on with a stopped search from its folder.
            progress: called with (phase, done, total) as work goes on.
            {options}

        Raises:
            DataError: no scene can be searched.
            ConfigError: an option is out of range, or does not fit the others.
        """
        folder = None if run is None else Path(run)
        return search_scenes(
            scene_samples(scenes), judge, SearchPlan.make(**options), folder, resume=resume, progress=progress
        )


def search_scenes(
    samples: Sequence[Sample],
    judge: Judge,
    plan: SearchPlan,
    folder: Path | None = None,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> Search:
    """Search scenes.

    Args:
        samples: the scenes.
        judge: a detector, or any other `Judge`.
        plan: what decides the search.
        folder: where the arrays of the search are kept; None: in memory.
        resume: go on with a stopped search from `folder`.
        progress: called with ("search", done, total), in tiles.

    Raises:
        DataError: no scene can be searched.
        ConfigError: an option is out of range, or does not fit the others.
    """
    tiling = plan.tiling(judge)
    report = progress or silent
    tasks, failures = scene_tasks(samples, tiling)
    total, done = sum(task.tiles for task in tasks), 0
    scenes: list[SearchedScene] = []
    candidates: list[list[Candidate]] = []
    with search_folder(folder, resume=resume) as locked_folder:
        context = SearchContext(judge, plan, tiling, locked_folder, resume, search_identity(judge, plan, tiling))
        for task in tasks:

            def count(tiles: int, before: int = done) -> None:
                report("search", before + tiles, total)

            scene, scene_candidates, failure = search_scene(task, context, count)
            done += task.tiles
            report("search", done, total)
            failures += [failure] if failure else []
            if scene is not None:
                scenes.append(scene)
                candidates.append(scene_candidates)
    if not scenes:
        raise DataError(f"none of the {len(samples)} scenes can be searched; the first: {failures[0].reason}")
    ranked = rank_candidates(candidates, plan.top, per_scene=plan.per_scene)
    provenance = {
        "model": judge.name,
        "plan": plan.model_dump(mode="json"),
        "tiling": tiling.model_dump(mode="json"),
        "detector": judge.provenance,
    }
    return Search(ranked, scenes, failures, list(samples), tiling, judge.calibration.map_peaks[-1], provenance)
