"""`search`: one strange spot in a huge scene. Judge every tile of every scene, rank them all, keep the strangest.

scenes -> headers -> (scene by scene, tile row by tile row: score, peak, small map) -> candidates -> pooled -> Search
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from daad.data.arrays import ImageInfo
from daad.data.cache_store import source_key
from daad.data.sample import Failure, Sample
from daad.data.scenes import Scene, open_scene, probe_scene
from daad.data.tiles import Tiling
from daad.errors import DataError, ImageError
from daad.runtime.judge import Judge
from daad.runtime.progress import Progress, silent
from daad.runtime.tiled import TileRow, blend_of, tile_rows
from daad.search.candidates import Candidate, deviations, pooled, strangest
from daad.search.canvas import factor_of, lay_map, lay_pixels
from daad.search.earth import located
from daad.search.sources import scene_samples
from daad.search.state import Kept, SceneState, search_folder
from daad.settings import Settings, takes


class SearchPlan(Settings):
    """What decides a search, but the scenes and the detector."""

    top: int = Field(50, ge=1, le=100_000, description="candidates to keep")
    tile: int | tuple[int, int] | None = Field(None, description="side of a tile, or (height, width), in pixels")
    overlap: float | None = Field(None, ge=0, le=0.9, description="share of its side that a tile shares with the next")
    max_no_data: float = Field(0.0, ge=0, lt=1, description="share of a judged tile that may be without data")
    no_data: float | None = Field(None, description="value that means no data, beside what a file says of itself")
    per_scene: bool = Field(False, description="rank by deviations from the scene's own tiles instead of raw scores")

    def tiling(self, detector: Judge) -> Tiling:
        """The tiles asked for; by default the detector's own, or of the model's size, so that no pixel is shrunk."""
        own = detector.preprocess.tiles
        if self.tile is None and own is not None:
            return own if self.overlap is None else Tiling.of((own.height, own.width), self.overlap)
        size = (detector.preprocess.height, detector.preprocess.width) if self.tile is None else self.tile
        return Tiling.of(size, 0.25 if self.overlap is None else self.overlap)


@dataclass(frozen=True)
class SceneFound:
    """A searched scene, and how many of its tiles were judged. A pixel of its small map and thumbnail stands for
    `factor` x `factor` of its own; `finished` is False for a scene that broke off."""

    name: str
    height: int
    width: int
    tiles: int
    judged: int
    factor: int
    kept: Kept
    finished: bool

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """Of every tile (rows, columns), NaN where it was not judged."""
        return self.kept["scores"]

    @property
    def map(self) -> npt.NDArray[np.float32]:
        """The scene in small: the highest map value of each square, NaN where there is no data."""
        return self.kept["map"]

    @property
    def thumbnail(self) -> npt.NDArray[Any]:
        """The scene in small: its first three bands, or the first."""
        return self.kept["thumbnail"]


@dataclass(frozen=True)
class Search:
    """The strangest places of all scenes, strangest first; the scenes in the order given; what failed and why.

    `map_threshold` is the highest map value on anything that the detector was calibrated on.
    """

    candidates: list[Candidate]
    scenes: list[SceneFound]
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
        """Rank the tiles of scenes, each of any size, by how unlike what a detector learnt they are.

        BigTIFF, tiled TIFF and JPEG 2000 are read window by window (`pip install "daad[scenes]"`), so memory does not
        grow with a scene's height.

        Args:
            scenes: a path, a folder (searched with its sub-folders), an array, or a list of these.
            judge: a detector, or whatever judges.
            run: a folder that keeps everything found; without one it is kept in memory.
            resume: a stopped search goes on from its folder.
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


@dataclass(frozen=True)
class _How:
    """All that the scenes of a search have in common; `identity` is a hash of what decides what is found."""

    judge: Judge
    plan: SearchPlan
    tiling: Tiling
    folder: Path | None
    resume: bool
    identity: str


@dataclass(frozen=True)
class _Job:
    """A scene of which the header is known."""

    sample: Sample
    info: ImageInfo
    grid: tuple[list[int], list[int]]

    @property
    def tiles(self) -> int:
        return len(self.grid[0]) * len(self.grid[1])


def search_scenes(
    samples: Sequence[Sample],
    judge: Judge,
    plan: SearchPlan,
    folder: Path | None = None,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> Search:
    """Search scenes; see `Search.of` for the arguments and errors."""
    tiling = plan.tiling(judge)
    report = progress or silent
    jobs, failures = _jobs(samples, tiling)
    total, done = sum(job.tiles for job in jobs), 0
    found: list[SceneFound] = []
    candidates: list[list[Candidate]] = []
    with search_folder(folder, resume=resume) as place:
        how = _How(judge, plan, tiling, place, resume, _identity(judge, plan, tiling))
        for job in jobs:

            def count(tiles: int, before: int = done) -> None:
                report("search", before + tiles, total)

            scene, places, failure = _search_one(job, how, count)
            done += job.tiles
            report("search", done, total)
            failures += [failure] if failure else []
            if scene is not None:
                found.append(scene)
                candidates.append(places)
    if not found:
        raise DataError(f"none of the {len(samples)} scenes can be searched; the first: {failures[0].reason}")
    best = pooled(candidates, plan.top, per_scene=plan.per_scene)
    provenance = {
        "model": judge.name,
        "plan": plan.model_dump(mode="json"),
        "tiling": tiling.model_dump(mode="json"),
        "detector": judge.provenance,
    }
    return Search(best, found, failures, list(samples), tiling, judge.calibration.map_peaks[-1], provenance)


def _jobs(samples: Sequence[Sample], tiling: Tiling) -> tuple[list[_Job], list[Failure]]:
    jobs, failures = [], []
    for sample in samples:
        try:
            info = probe_scene(sample)
            jobs.append(_Job(sample, info, tiling.grid(info.height, info.width, sample.name)))
        except ImageError as error:
            failures.append(Failure(sample.name, str(error)))
    return jobs, failures


def _search_one(job: _Job, how: _How, report: Any) -> tuple[SceneFound | None, list[Candidate], Failure | None]:
    failure, name = None, job.sample.name
    try:
        with open_scene(job.sample, how.plan.no_data) as scene:
            state = _state(job, how)
            try:
                _scan(scene, state, job, how, report)
            except ImageError as error:
                if not state.done:
                    raise
                failure = Failure(name, f"{error} (tile rows judged: {state.done} of {len(job.grid[0])})")
            places = _candidates(job, state, how)
            if scene.geo is not None:
                places = located(places, scene.geo)
    except ImageError as error:
        return None, [], Failure(name, str(error))
    if not places and failure is None:
        failure = Failure(name, f"{name}: every tile holds missing data, so none was judged; see --max-no-data")
    height, width = job.info.height, job.info.width
    judged = int(np.isfinite(state.scores).sum())
    factor, kept = factor_of(height, width), state.keep()
    return SceneFound(name, height, width, job.tiles, judged, factor, kept, failure is None), places, failure


def _scan(scene: Scene, state: SceneState, job: _Job, how: _How, report: Any) -> None:
    """Judge the tile rows that are not done yet. Those whose maps reach into what is not final are judged again."""
    (tops, lefts), (height, width), tiling = job.grid, (job.info.height, job.info.width), how.tiling
    final = tops[state.done - 1] if state.done else 0  # map rows above this are final
    if state.done == len(tops):
        return
    first = next(i for i, top in enumerate(tops) if top + tiling.height > final)
    blend, factor, at = blend_of(width, tiling), factor_of(height, width), tops[first]
    blend.move_to(at)

    def lay(to: int) -> None:
        nonlocal at
        rows = blend.move_to(to)
        skip = max(0, final - at)
        lay_map(state.map, rows[skip:], at + skip, factor)
        at = to

    rows = tile_rows(
        how.judge.scorer, how.judge.preprocess, scene, tiling, max_no_data=how.plan.max_no_data, first=first
    )
    for number, row in enumerate(rows, start=first):
        lay(row.top)
        for tile in row.maps:
            blend.add(tile.left, tile.values, tile.valid)
        _note(state, number, row, lefts, factor)
        if number + 1 == len(tops):
            lay(height)
        state.advance(max(state.done, number + 1), finished=number + 1 == len(tops))
        report((number + 1) * len(lefts))


def _note(state: SceneState, number: int, row: TileRow, lefts: list[int], factor: int) -> None:
    state.scores[number] = row.scores
    columns = np.searchsorted(lefts, [tile.left for tile in row.maps])
    for column, tile in zip(columns.tolist(), row.maps, strict=True):
        values = tile.values if tile.valid is None else np.where(tile.valid, tile.values, -np.inf)
        down, across = np.unravel_index(int(values.argmax()), values.shape)
        state.peaks[number, column] = tile.left + across, row.top + down
    for left, patch in row.strips:
        lay_pixels(state.thumbnail, patch, row.top, left, factor)


def _state(job: _Job, how: _How) -> SceneState:
    parts = [how.identity, source_key(job.sample), *map(str, job.info)]
    identity = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    place = None if how.folder is None else how.folder / f"scene-{identity[:16]}"
    info, (tops, lefts) = job.info, job.grid
    open_state = SceneState.resume if how.resume and place is not None else SceneState.begin
    grid, bands = (len(tops), len(lefts)), 3 if info.channels >= 3 else 1
    return open_state(place, identity, grid, (info.height, info.width), bands, info.dtype)


def _identity(judge: Judge, plan: SearchPlan, tiling: Tiling) -> str:
    """Only a search with the same one may go on where another stopped."""
    shape = [tiling.model_dump(mode="json"), judge.preprocess.model_dump(mode="json")]
    parts = [judge.scorer.fingerprint(), *shape, plan.max_no_data, plan.no_data]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _candidates(job: _Job, state: SceneState, how: _How) -> list[Candidate]:
    (tops, lefts), tiling = job.grid, how.tiling
    apart = deviations(np.asarray(state.scores))
    key = apart if how.plan.per_scene else np.asarray(state.scores)
    places = strangest(key, state.peaks, tops, lefts, tiling, how.plan.top)
    return [
        Candidate(
            rank=0,
            scene=job.sample.name,
            row=row,
            column=column,
            left=lefts[column],
            top=tops[row],
            right=lefts[column] + tiling.width,
            bottom=tops[row] + tiling.height,
            peak_x=int(state.peaks[row, column, 0]),
            peak_y=int(state.peaks[row, column, 1]),
            score=float(state.scores[row, column]),
            p_value=how.judge.calibration.p_value(float(state.scores[row, column])),
            deviations=float(apart[row, column]),
        )
        for row, column in places
    ]
