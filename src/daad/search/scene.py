"""One scene of a search: judge its tile rows, keep scores, peaks and an overview, choose its candidates.

header -> (tile row by tile row: scores, peaks, overview; resumable) -> SearchedScene, candidates
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from daad.data.arrays import ImageInfo
from daad.data.cache_store import source_key
from daad.data.sample import Failure, Sample
from daad.data.scenes import Scene, open_scene, probe_scene
from daad.data.tiles import Tiling
from daad.errors import ImageError
from daad.runtime.judge import Judge
from daad.runtime.tiled import TileRow, blend_of, tile_rows
from daad.search.candidates import Candidate, deviations, top_tiles
from daad.search.canvas import add_map_rows, add_pixels, overview_factor
from daad.search.earth import with_coordinates
from daad.search.options import SearchPlan
from daad.search.state import SceneArrays, SceneState


@dataclass(frozen=True)
class SearchedScene:
    """A searched scene.

    Args:
        name: the scene's name.
        height: in pixels.
        width: in pixels.
        tiles: number of its tiles.
        judged: how many of them were judged; the others hold missing data, or lie after an error.
        factor: one pixel of its map and thumbnail stands for `factor` x `factor` pixels.
        arrays: scores, map and thumbnail.
        finished: False for a scene that an error interrupted.
    """

    name: str
    height: int
    width: int
    tiles: int
    judged: int
    factor: int
    arrays: SceneArrays
    finished: bool

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """Of every tile (rows, columns), NaN where it was not judged."""
        return self.arrays["scores"]

    @property
    def map(self) -> npt.NDArray[np.float32]:
        """The overview of the scene's map (h, w): the highest value of each square, NaN where there is no data."""
        return self.arrays["map"]

    @property
    def thumbnail(self) -> npt.NDArray[Any]:
        """The overview of the scene's pixels (h, w, bands): its first three bands, or the first."""
        return self.arrays["thumbnail"]


@dataclass(frozen=True)
class SearchContext:
    """What the scenes of a search have in common; `identity` is a hash of all that decides the scores."""

    judge: Judge
    plan: SearchPlan
    tiling: Tiling
    folder: Path | None
    resume: bool
    identity: str


@dataclass(frozen=True)
class SceneTask:
    """A scene to search: its header, and the tops and lefts of its tiles."""

    sample: Sample
    info: ImageInfo
    grid: tuple[list[int], list[int]]

    @property
    def tiles(self) -> int:
        return len(self.grid[0]) * len(self.grid[1])


def search_identity(judge: Judge, plan: SearchPlan, tiling: Tiling) -> str:
    """A hash of all that decides the scores; a search is resumed only with the same one."""
    specs = [tiling.model_dump(mode="json"), judge.preprocess.model_dump(mode="json")]
    parts = [judge.scorer.fingerprint(), *specs, plan.max_no_data, plan.no_data]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def scene_tasks(samples: Sequence[Sample], tiling: Tiling) -> tuple[list[SceneTask], list[Failure]]:
    tasks, failures = [], []
    for sample in samples:
        try:
            info = probe_scene(sample)
            tasks.append(SceneTask(sample, info, tiling.grid(info.height, info.width, sample.name)))
        except ImageError as error:
            failures.append(Failure(sample.name, str(error)))
    return tasks, failures


def search_scene(
    task: SceneTask, context: SearchContext, report: Callable[[int], None]
) -> tuple[SearchedScene | None, list[Candidate], Failure | None]:
    failure, name = None, task.sample.name
    try:
        with open_scene(task.sample, context.plan.no_data) as scene:
            state = _open_state(task, context)
            try:
                _judge_rows(scene, state, task, context, report)
            except ImageError as error:
                if not state.done:
                    raise
                failure = Failure(name, f"{error} (tile rows judged: {state.done} of {len(task.grid[0])})")
            candidates = _candidates(task, state, context)
            if scene.geo is not None:
                candidates = with_coordinates(candidates, scene.geo)
    except ImageError as error:
        return None, [], Failure(name, str(error))
    if not candidates and failure is None:
        failure = Failure(name, f"{name}: every tile holds missing data, so none was judged; see --max-no-data")
    height, width = task.info.height, task.info.width
    judged = int(np.isfinite(state.scores).sum())
    factor, arrays = overview_factor(height, width), state.finish()
    searched = SearchedScene(name, height, width, task.tiles, judged, factor, arrays, failure is None)
    return searched, candidates, failure


def _judge_rows(
    scene: Scene, state: SceneState, task: SceneTask, context: SearchContext, report: Callable[[int], None]
) -> None:
    """Judge the tile rows that are not done yet. Rows whose maps reach into map rows not yet final are judged again."""
    (tops, lefts), (height, width), tiling = task.grid, (task.info.height, task.info.width), context.tiling
    final = tops[state.done - 1] if state.done else 0  # map rows above this are final
    if state.done == len(tops):
        return
    first = next(i for i, top in enumerate(tops) if top + tiling.height > final)
    blend, factor, blended = blend_of(width, tiling), overview_factor(height, width), tops[first]
    blend.move_to(blended)  # map rows above this are complete

    def blend_up_to(end: int) -> None:
        nonlocal blended
        map_rows = blend.move_to(end)
        skip = max(0, final - blended)
        add_map_rows(state.map, map_rows[skip:], blended + skip, factor)
        blended = end

    judge, max_no_data = context.judge, context.plan.max_no_data
    rows = tile_rows(judge.scorer, judge.preprocess, scene, tiling, max_no_data=max_no_data, first=first)
    for index, row in enumerate(rows, start=first):
        blend_up_to(row.top)
        for tile in row.maps:
            blend.add(tile.left, tile.values, tile.valid)
        _record(state, index, row, lefts, factor)
        if index + 1 == len(tops):
            blend_up_to(height)
        state.advance(max(state.done, index + 1), finished=index + 1 == len(tops))
        report((index + 1) * len(lefts))


def _record(state: SceneState, index: int, row: TileRow, lefts: list[int], factor: int) -> None:
    """Put scores, peaks and pixels of the tile row `index` into the scene's arrays."""
    state.scores[index] = row.scores
    columns = np.searchsorted(lefts, [tile.left for tile in row.maps])
    for column, tile in zip(columns.tolist(), row.maps, strict=True):
        values = tile.values if tile.valid is None else np.where(tile.valid, tile.values, -np.inf)
        y, x = np.unravel_index(int(values.argmax()), values.shape)
        state.peaks[index, column] = tile.left + x, row.top + y
    for left, patch in row.strips:
        add_pixels(state.thumbnail, patch, row.top, left, factor)


def _open_state(task: SceneTask, context: SearchContext) -> SceneState:
    parts = [context.identity, source_key(task.sample), *map(str, task.info)]
    identity = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    folder = None if context.folder is None else context.folder / f"scene-{identity[:16]}"
    info, (tops, lefts) = task.info, task.grid
    open_state = SceneState.resume if context.resume and folder is not None else SceneState.begin
    grid, bands = (len(tops), len(lefts)), 3 if info.channels >= 3 else 1
    return open_state(folder, identity, grid, (info.height, info.width), bands, info.dtype)


def _candidates(task: SceneTask, state: SceneState, context: SearchContext) -> list[Candidate]:
    (tops, lefts), tiling = task.grid, context.tiling
    from_median = deviations(np.asarray(state.scores))
    key = from_median if context.plan.per_scene else np.asarray(state.scores)
    tiles = top_tiles(key, state.peaks, tops, lefts, tiling, context.plan.top)
    return [
        Candidate(
            rank=0,
            scene=task.sample.name,
            row=row,
            column=column,
            left=lefts[column],
            top=tops[row],
            right=lefts[column] + tiling.width,
            bottom=tops[row] + tiling.height,
            peak_x=int(state.peaks[row, column, 0]),
            peak_y=int(state.peaks[row, column, 1]),
            score=float(state.scores[row, column]),
            p_value=context.judge.calibration.p_value(float(state.scores[row, column])),
            deviations=float(from_median[row, column]),
        )
        for row, column in tiles
    ]
