"""The position of a candidate on Earth, as longitude and latitude (WGS 84)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from daad.search.candidates import Candidate

WGS84 = "EPSG:4326"


def with_coordinates(candidates: Sequence[Candidate], dataset: Any) -> list[Candidate]:
    """Candidates with the coordinates of the peak's pixel centre and of the tile's corners.

    They come from the reference system of `dataset`, an open rasterio dataset. A candidate stays as it is where that
    gives no position on Earth.
    """
    from rasterio.transform import xy
    from rasterio.warp import transform

    if not candidates:
        return []
    points = [point for candidate in candidates for point in _points(candidate)]
    columns, rows = zip(*points, strict=True)
    try:
        xs, ys = xy(dataset.transform, rows, columns, offset="ul")
        longitudes, latitudes = transform(dataset.crs, WGS84, xs, ys)
    except Exception:  # GDAL raises many kinds: a reference system of the Moon, a point off the globe
        return list(candidates)
    coordinates = list(zip(longitudes, latitudes, strict=True))
    return [_with_coordinates(candidate, coordinates[5 * i : 5 * i + 5]) for i, candidate in enumerate(candidates)]


def _points(candidate: Candidate) -> list[tuple[float, float]]:
    """Peak, then corners clockwise from the top left, in pixels (x, y)."""
    c = candidate
    corners = [(c.left, c.top), (c.right, c.top), (c.right, c.bottom), (c.left, c.bottom)]
    return [(c.peak_x + 0.5, c.peak_y + 0.5), *corners]


def _with_coordinates(candidate: Candidate, coordinates: list[tuple[float, float]]) -> Candidate:
    """Without corners where the tile reaches over the date line or a pole; RFC 7946 has no such polygon."""
    peak, *corners = ((round(x, 7), round(y, 7)) for x, y in coordinates)
    longitude, latitude = (peak[0] + 180) % 360 - 180, peak[1]
    if not (math.isfinite(longitude) and abs(latitude) <= 90):
        return candidate
    within = all(abs(x) <= 180 and abs(y) <= 90 for x, y in corners)
    return replace(
        candidate, longitude=round(longitude, 7), latitude=latitude, corners=tuple(corners) if within else ()
    )
