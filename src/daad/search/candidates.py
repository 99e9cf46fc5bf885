"""From the scores of all tiles to the few places that a person should look at."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from daad.data.tiles import Tiling, Window

NORMAL_SPREAD = 1.4826  # of a normal distribution, in units of its median absolute deviation


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tile to look at, and its highest point; places are in pixels of the scene.

    Args:
        rank: 1 is the strangest of all scenes.
        scene: the scene's name.
        row: of tiles, from 0.
        column: of tiles, from 0.
        left: of the tile.
        top: of the tile.
        right: of the tile, exclusive.
        bottom: of the tile, exclusive.
        peak_x: of the highest value of the tile's map.
        peak_y: of the highest value of the tile's map.
        score: the tile's raw score.
        p_value: of the score, in (0, 1].
        deviations: distance of the score from the median of its scene's tiles, in robust standard deviations.
        longitude: of the peak (WGS 84), in degrees; None where the file is not geo-referenced.
        latitude: of the peak (WGS 84), in degrees; None where the file is not geo-referenced.
        corners: the tile's, (longitude, latitude) each, clockwise from the top left; empty where the file is not
            geo-referenced, and where the tile crosses the date line or a pole.
    """

    rank: int
    scene: str
    row: int
    column: int
    left: int
    top: int
    right: int
    bottom: int
    peak_x: int
    peak_y: int
    score: float
    p_value: float
    deviations: float
    longitude: float | None = None
    latitude: float | None = None
    corners: tuple[tuple[float, float], ...] = ()

    @property
    def window(self) -> Window:
        """The tile."""
        return Window(self.top, self.left, self.bottom - self.top, self.right - self.left)


def deviations(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Distance of each score from the scene's median in robust standard deviations; NaN stays NaN, 0 without spread."""
    known = scores[np.isfinite(scores)]
    if not len(known):
        return scores.copy()
    middle = np.median(known)
    spread = NORMAL_SPREAD * np.median(np.abs(known - middle))
    return (scores - middle) / spread if spread > 0 else np.where(np.isfinite(scores), 0.0, np.nan)


def strangest(
    key: npt.NDArray[np.float64],
    peaks: npt.NDArray[np.int32],
    tops: Sequence[int],
    lefts: Sequence[int],
    tiling: Tiling,
    top: int,
) -> list[tuple[int, int]]:
    """(row, column) of the `top` tiles of the highest `key`, ties in row-major order, without repeats.

    A tile whose peak lies in a better one shows the same thing, and is left out.

    Args:
        key: (rows, columns) what tiles are ranked by, NaN where a tile was not judged.
        peaks: (rows, columns, 2) the highest point (x, y) of each tile, in pixels of the scene.
        tops: the first pixel row of each row of tiles.
        lefts: the first pixel column of each column of tiles.
        tiling: the tiles' size.
        top: how many are given at most.
    """
    flat = key.ravel()
    order = np.argsort(-flat, kind="stable")[: int(np.isfinite(flat).sum())]  # NaN sorts last
    taken: list[tuple[int, int]] = []
    corners = np.empty((0, 2), int)
    for index in order.tolist():
        row, column = divmod(index, key.shape[1])
        x, y = peaks[row, column].tolist()
        inside = (corners[:, 0] <= y) & (y < corners[:, 0] + tiling.height)
        if (inside & (corners[:, 1] <= x) & (x < corners[:, 1] + tiling.width)).any():
            continue
        taken.append((row, column))
        corners = np.append(corners, [[tops[row], lefts[column]]], axis=0)
        if len(taken) == top:
            break
    return taken


def pooled(found: Sequence[Sequence[Candidate]], top: int, *, per_scene: bool) -> list[Candidate]:
    """The `top` candidates of all scenes, by score or, with `per_scene`, by deviations; ties in the order of scenes."""
    every = [candidate for scene in found for candidate in scene]
    every.sort(key=lambda candidate: -(candidate.deviations if per_scene else candidate.score))  # sort is stable
    return [replace(candidate, rank=rank) for rank, candidate in enumerate(every[:top], start=1)]


def as_csv(candidates: Sequence[Candidate]) -> str:
    """A table with a row a candidate, `corners` left out."""
    names = [name for name in Candidate.__dataclass_fields__ if name != "corners"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(candidate) for candidate in candidates)
    return text.getvalue()


def as_geojson(candidates: Sequence[Candidate]) -> str | None:
    """The candidates that lie somewhere on Earth as polygons, or points where a tile crosses the date line or a pole
    (RFC 7946, WGS 84); None where none does."""
    features = [_feature(candidate) for candidate in candidates if candidate.longitude is not None]
    if not features:
        return None
    return json.dumps({"type": "FeatureCollection", "features": features}, indent=1, allow_nan=False)


def _feature(candidate: Candidate) -> dict[str, Any]:
    facts = asdict(candidate)
    del facts["corners"]
    geometry: dict[str, Any] = {"type": "Point", "coordinates": [candidate.longitude, candidate.latitude]}
    if candidate.corners:
        ring = [list(corner) for corner in reversed(candidate.corners)]  # counter-clockwise, as the format asks
        geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    return {"type": "Feature", "id": candidate.rank, "geometry": geometry, "properties": facts}
