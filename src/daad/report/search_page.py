"""The files of a search: candidates.csv, candidates.geojson, mosaic.png, maps/ and index.html."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from daad.data.generated_files import SEARCH, mark
from daad.data.sample import Failure, Sample
from daad.data.scenes import open_scene
from daad.data.tiles import Window
from daad.errors import ImageError
from daad.report import tables
from daad.report.cases import PAGE_BYTES, data_uri
from daad.report.page import render
from daad.report.sheet import CELL, MARGIN, Thumbnail, write_contact_sheet
from daad.scoring.heat import RGB, display_rgb, overlay
from daad.search.candidates import Candidate, as_csv, as_geojson
from daad.search.scene import SearchedScene
from daad.search.search import Search

MOST_IN_MOSAIC = 600  # candidates; all of them are in the CSV
MOST_ON_PAGE = 60
MOST_SCENES = 20  # maps on the page; those of all scenes are in maps/
FRAME = "#ffd166"
NO_DATA = (128, 128, 128)
OVERVIEW = 900  # longest side of a scene's map on the page


@dataclass(frozen=True, slots=True)
class CandidateFigure:
    """A candidate with its picture as a data URI."""

    candidate: Candidate
    image: str


def write_search(search: Search, folder: str | Path) -> Path:
    """Write the files to `folder` and return the path of the page; the GeoJSON only where a scene lies on Earth."""
    target = Path(folder)
    mark(target, SEARCH)
    (target / "maps").mkdir(exist_ok=True)
    for old in [target / "candidates.geojson", *(target / "maps").glob("[0-9]*-*.png")]:  # of an earlier search
        old.unlink(missing_ok=True)
    (target / "candidates.csv").write_text(as_csv(search.candidates), encoding="utf-8", errors="backslashreplace")
    geojson = as_geojson(search.candidates)
    if geojson is not None:
        (target / "candidates.geojson").write_text(geojson, encoding="utf-8", errors="backslashreplace")
    not_shown: list[Failure] = []
    crops = list(_crops(search, not_shown))
    write_contact_sheet([_thumbnail(candidate, image) for candidate, image in crops], target / "mosaic.png")
    overviews = []
    for index, scene in enumerate(search.scenes):
        picture = overview(scene, search)
        name = f"{index + 1:03d}-{_file_stem(scene.name)}.png"
        picture.save(target / "maps" / name)
        if index < MOST_SCENES:
            picture.thumbnail((OVERVIEW, OVERVIEW), Image.Resampling.LANCZOS)
            overviews.append((scene, name, np.asarray(picture)))
    on_page = crops[:MOST_ON_PAGE]
    limit = min(200_000, PAGE_BYTES // max(1, len(on_page) + len(overviews)))
    page = render(
        "search.html.j2",
        title=f"Search of {len(search.scenes):,} scene{'s' if len(search.scenes) > 1 else ''}",
        headline=_headline(search),
        tiles=_tiles(search),
        candidates=[CandidateFigure(candidate, data_uri(image, limit)) for candidate, image in on_page],
        scenes=[(scene, name, data_uri(image, limit)) for scene, name, image in overviews],
        scene_count=len(search.scenes),
        failures={"Scenes left out or broken off": search.failures, "Candidates not shown": not_shown},
        provenance=list(tables.flat(search.provenance)),
    )
    path = target / "index.html"
    path.write_bytes(page.encode("utf-8", "replace"))
    return path


def overview(scene: SearchedScene, search: Search) -> Image.Image:
    """The scene in small with its map as an overlay, and the candidates' tiles numbered; no data is grey."""
    missing = np.isnan(scene.map)
    picture = overlay(stretched(np.asarray(scene.thumbnail), ~missing), np.nan_to_num(scene.map), search.map_threshold)
    picture[missing] = NO_DATA
    image = Image.fromarray(picture)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(max(12, max(image.size) // 70))
    candidates = [candidate for candidate in search.candidates if candidate.scene == scene.name]
    for candidate in reversed(candidates):  # the first rank on top
        left, top, right, bottom = (
            side // scene.factor for side in (candidate.left, candidate.top, candidate.right, candidate.bottom)
        )
        box = (left - 3, top - 3, right + 3, bottom + 3)
        draw.rectangle(box, outline="black", width=3)
        draw.rectangle(box, outline=FRAME, width=2)
        if candidate.rank <= 20:
            x, y = min(box[2] + 2, image.width - 24), max(0, box[1] - 2)
            draw.text((x, y), str(candidate.rank), FRAME, font, stroke_width=2, stroke_fill="black")
    return image


def stretched(image: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> RGB:
    """RGB for display; 16 bits, of which a sensor may use few, are stretched from the 1st to the 99th percentile."""
    if image.dtype == np.uint8 or not valid.any():
        return display_rgb(image)
    low, high = np.percentile(image[valid], [1, 99])
    scaled = (image.astype(np.float32) - low) / max(high - low, 1) * 255
    return display_rgb(np.rint(np.clip(scaled, 0, 255)).astype(np.uint8))


def _crops(search: Search, not_shown: list[Failure]) -> Iterator[tuple[Candidate, RGB]]:
    """The candidates' tiles with some context around them, in rank order; each scene is opened once."""
    by_scene: dict[str, list[Candidate]] = {}
    for candidate in search.candidates[:MOST_IN_MOSAIC]:
        by_scene.setdefault(candidate.scene, []).append(candidate)
    pictures: dict[int, RGB] = {}
    for sample in search.samples:
        candidates = by_scene.pop(sample.name, [])
        if candidates:
            pictures |= _crops_of(sample, candidates, not_shown)
    for candidate in search.candidates[:MOST_IN_MOSAIC]:
        if candidate.rank in pictures:
            yield candidate, pictures[candidate.rank]


def _crops_of(sample: Sample, candidates: list[Candidate], not_shown: list[Failure]) -> dict[int, RGB]:
    """The pictures of the candidates of a scene, by rank."""
    pictures = {}
    try:
        with open_scene(sample) as scene:
            for candidate in candidates:
                window, tile = _with_context(candidate.window, scene.info.height, scene.info.width)
                try:
                    patch = scene.read(window)
                except ImageError:  # a tile of a broken file whose surroundings are gone
                    window, tile = candidate.window, (0, 0, candidate.window.width, candidate.window.height)
                    patch = scene.read(window)
                valid = np.ones(patch.pixels.shape[:2], bool) if patch.valid is None else patch.valid
                pixels = patch.pixels if patch.pixels.shape[2] in (1, 3) else patch.pixels[..., :3]
                picture = stretched(pixels if pixels.shape[2] in (1, 3) else pixels[..., :1], valid).copy()
                picture[~valid] = NO_DATA
                pictures[candidate.rank] = _framed(picture, tile)
    except ImageError as error:
        not_shown.append(Failure(sample.name, str(error)))
    return pictures


def _with_context(window: Window, height: int, width: int) -> tuple[Window, tuple[int, int, int, int]]:
    """A window enlarged by half its side on each side, within the scene; and (left, top, right, bottom) of the original
    in it."""
    top, left = max(0, window.top - window.height // 2), max(0, window.left - window.width // 2)
    bottom = min(height, window.top + window.height * 3 // 2)
    right = min(width, window.left + window.width * 3 // 2)
    x, y = window.left - left, window.top - top
    return Window(top, left, bottom - top, right - left), (x, y, x + window.width, y + window.height)


def _framed(picture: RGB, tile: tuple[int, int, int, int]) -> RGB:
    """The picture at the size of a thumbnail, with a frame around `tile` (left, top, right, bottom)."""
    scale = (CELL - MARGIN) / max(picture.shape[:2])
    kernel = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    image = Image.fromarray(picture).resize(size, kernel)
    left, top, right, bottom = (round(side * scale) for side in tile)
    draw = ImageDraw.Draw(image)
    draw.rectangle((left - 1, top - 1, right, bottom), outline="black", width=3)
    draw.rectangle((left, top, right - 1, bottom - 1), outline=FRAME, width=1)
    return np.asarray(image)


def _thumbnail(candidate: Candidate, picture: RGB) -> Thumbnail:
    position = f"{Path(candidate.scene).name}  {candidate.peak_x}, {candidate.peak_y}"
    return Thumbnail(picture, f"#{candidate.rank}  {candidate.deviations:+.1f} sd", position)


def _file_stem(name: str) -> str:
    stem = Path(name).stem.encode("ascii", "replace").decode()
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in stem)[:80] or "scene"


def _headline(search: Search) -> str:
    judged = sum(scene.judged for scene in search.scenes)
    return (
        f"The {len(search.candidates):,} strangest places among {judged:,} tiles of {search.tiling.width} x "
        f"{search.tiling.height} pixels, strangest first. A ranking, not a verdict: some place is always the strangest."
    )


def _tiles(search: Search) -> list[tuple[str, str, str]]:
    """The most important numbers, as (label, number, what it comes from)."""
    pixels = sum(scene.height * scene.width for scene in search.scenes)
    tiles, judged = sum(scene.tiles for scene in search.scenes), sum(scene.judged for scene in search.scenes)
    amount = f"{pixels / 1e9:.2f} billion pixels" if pixels >= 1e9 else f"{pixels / 1e6:.1f} million pixels"
    return [
        ("Scenes", f"{len(search.scenes):,}", amount),
        ("Tiles judged", f"{judged:,}", f"{100 * search.tiling.overlap:.3g} % overlap"),
        ("Not judged", f"{tiles - judged:,}", "tiles with missing data"),
        ("Left out", f"{len(search.failures):,}", "scenes that could not be read to the end"),
    ]
