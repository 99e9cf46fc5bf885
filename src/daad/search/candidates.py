"""Candidates: the few tiles of the highest scores, for a person to look at."""

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

MAD_TO_SD = 1.4826  # standard deviation of a normal distribution over its median absolute deviation


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tile of a high anomaly score, and its highest point; positions are in pixels of the scene.

    Args:
        rank: 1 is the highest score, or deviation, of all scenes.
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
        corners: (longitude, latitude) of the tile's corners, clockwise from the top left; empty where the file is not
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
    """Distance of each score from their median in robust standard deviations; NaN stays NaN, 0 where they are equal."""
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return scores.copy()
    median = np.median(finite)
    deviation = MAD_TO_SD * np.median(np.abs(finite - median))
    return (scores - median) / deviation if deviation > 0 else np.where(np.isfinite(scores), 0.0, np.nan)


def top_tiles(
    key: npt.NDArray[np.float64],
    peaks: npt.NDArray[np.int32],
    tops: Sequence[int],
    lefts: Sequence[int],
    tiling: Tiling,
    top: int,
) -> list[tuple[int, int]]:
    """The tiles of the highest `key`, without repeats: a tile whose peak lies in a better tile shows the same object.

    Args:
        key: what tiles are ranked by (rows, columns); NaN where a tile was not judged.
        peaks: (x, y) of the highest map value of each tile (rows, columns, 2), in pixels of the scene.
        tops: of each tile row the first pixel row.
        lefts: of each tile column the first pixel column.
        tiling: the size of the tiles.
        top: most tiles to give.

    Returns:
        (row, column) of each tile, the highest first, ties in row-major order.
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


def rank_candidates(scenes: Sequence[Sequence[Candidate]], top: int, *, per_scene: bool) -> list[Candidate]:
    """The `top` candidates of all scenes, by score or, with `per_scene`, by deviations; ties in the order of scenes."""
    ranked = [candidate for scene in scenes for candidate in scene]
    ranked.sort(key=lambda candidate: -(candidate.deviations if per_scene else candidate.score))  # sort is stable
    return [replace(candidate, rank=rank) for rank, candidate in enumerate(ranked[:top], start=1)]


def as_csv(candidates: Sequence[Candidate]) -> str:
    """A CSV table with a row for each candidate, without `corners`."""
    names = [name for name in Candidate.__dataclass_fields__ if name != "corners"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(candidate) for candidate in candidates)
    return text.getvalue()


def as_geojson(candidates: Sequence[Candidate]) -> str | None:
    """The candidates with a position on Earth as GeoJSON (RFC 7946, WGS 84); None where none has one.

    They are polygons, or points where a tile crosses the date line or a pole.
    """
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
