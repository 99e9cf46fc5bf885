"""Where on Earth a candidate lies, as longitude and latitude (WGS 84)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from daad.scan.candidates import Candidate

WGS84 = "EPSG:4326"


def located(candidates: Sequence[Candidate], dataset: Any) -> list[Candidate]:
    """Candidates with longitude and latitude of the peak's pixel centre and of the tile's corners, through the
    reference system of a rasterio dataset; as they are where it gives no place."""
    from rasterio.errors import RasterioError
    from rasterio.transform import xy
    from rasterio.warp import transform

    if not candidates:
        return []
    points = [point for candidate in candidates for point in _points(candidate)]
    try:
        columns, rows = zip(*points, strict=True)
        xs, ys = xy(dataset.transform, rows, columns, offset="ul")
        longitudes, latitudes = transform(dataset.crs, WGS84, xs, ys)
    except (RasterioError, ValueError):  # a reference system that is not of the Earth, such as the Moon's
        return list(candidates)
    if not all(map(math.isfinite, [*longitudes, *latitudes])):
        return list(candidates)
    places = list(zip(longitudes, latitudes, strict=True))
    return [_at(candidate, places[5 * i : 5 * i + 5]) for i, candidate in enumerate(candidates)]


def _points(candidate: Candidate) -> list[tuple[float, float]]:
    """Peak, then corners clockwise from the top left, in pixels (x, y)."""
    c = candidate
    corners = [(c.left, c.top), (c.right, c.top), (c.right, c.bottom), (c.left, c.bottom)]
    return [(c.peak_x + 0.5, c.peak_y + 0.5), *corners]


def _at(candidate: Candidate, places: list[tuple[float, float]]) -> Candidate:
    peak, *corners = ((round(x, 7), round(y, 7)) for x, y in places)
    return replace(candidate, longitude=peak[0], latitude=peak[1], corners=tuple(corners))
