"""A search finds anomalies in scenes of any size, resumes after a kill, and reports every scene."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

import daad
from daad import DataError, Detector, Sample
from daad.cli import run
from daad.report.search_page import write_search
from daad.search import canvas, state
from daad.search.candidates import as_geojson
from tests.runtime.test_tiled import QUICK, grained

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SPOT = (333, 470)  # row, column


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    fitted = Detector.fit([grained(1, 256, 256)[0]], tile=32, **{**QUICK, "steps": 120})
    return fitted.save(tmp_path_factory.mktemp("search") / "detector")


def scene(path: Path, pixels: Any, **options: Any) -> Path:
    """(H, W, 1) pixels as a tiled TIFF."""
    height, width, _ = pixels.shape
    shape = {"width": width, "height": height, "count": 1, "dtype": pixels.dtype}
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    with rasterio.open(path, "w", driver="GTiff", **shape, **tiles, **options) as file:
        file.write(pixels.transpose(2, 0, 1))
    return path


@pytest.fixture
def spotted(tmp_path: Path) -> Path:
    pixels = grained(1, 500, 700, seed=7)[0]
    pixels[SPOT[0] : SPOT[0] + 12, SPOT[1] : SPOT[1] + 12] = 255
    georeference = {"crs": "EPSG:32633", "transform": rasterio.transform.from_origin(5e5, 5e6, 10, 10)}
    return scene(tmp_path / "scene.tif", pixels, **georeference)


def hits(candidate: Any) -> bool:
    return bool(abs(candidate.peak_y - SPOT[0] - 6) < 12 and abs(candidate.peak_x - SPOT[1] - 6) < 12)


def test_the_anomaly_ranks_first_and_once(spotted: Path, detector: Path) -> None:
    search = daad.search(spotted, detector, top=10)
    assert hits(search.candidates[0]) and not any(hits(other) for other in search.candidates[1:])
    assert [candidate.rank for candidate in search.candidates] == list(range(1, 11))
    (searched,) = search.scenes
    assert searched.judged == searched.tiles == searched.scores.size and searched.finished
    row, column = np.unravel_index(int(np.nanargmax(searched.map)), searched.map.shape)
    assert abs(row - SPOT[0] - 6) < 12 and abs(column - SPOT[1] - 6) < 12  # factor 1
    first = search.candidates[0]
    assert first.longitude is not None and abs(first.longitude - 15.06) < 0.01 and first.corners


def test_the_map_of_the_search_is_the_map_of_predict(spotted: Path, detector: Path) -> None:
    predicted = daad.load(detector).predict_one(spotted)
    search = daad.search(spotted, detector)
    assert predicted.anomaly_map is not None
    np.testing.assert_allclose(search.scenes[0].map, predicted.anomaly_map, rtol=1e-4, atol=1e-7)
    assert search.candidates[0].score == pytest.approx(predicted.score, rel=1e-5)


def test_any_detector_searches_with_tiles_of_its_size(spotted: Path) -> None:
    untiled = Detector.fit(grained(10, 32, 32), **QUICK)
    search = daad.search(spotted, untiled, top=5)
    assert (search.tiling.height, search.tiling.width, search.tiling.overlap) == (32, 32, 0.25)
    assert hits(search.candidates[0])
    assert daad.search(spotted, untiled, tile=(64, 48), overlap=0.5).tiling.width == 48


def test_borders_are_never_ranked_and_single_dead_pixels_do_not_matter(tmp_path: Path, detector: Path) -> None:
    pixels = grained(1, 300, 400, seed=8)[0].clip(1)
    pixels[:100] = 0
    pixels[200, 200] = 0
    path = scene(tmp_path / "x.tif", pixels, nodata=0)
    search = daad.search(path, detector, top=1000)
    assert min(candidate.top for candidate in search.candidates) >= 100
    assert any(c.left <= 200 < c.right and c.top <= 200 < c.bottom for c in search.candidates)
    (searched,) = search.scenes
    assert np.isnan(searched.map[:100]).all() and np.isfinite(searched.map[120:200]).all()
    partly = daad.search(path, detector, top=1000, max_no_data=0.5)
    assert min(candidate.top for candidate in partly.candidates) < 100 < partly.candidates[0].bottom
    assert np.isnan(partly.scenes[0].map[:100]).all()
    no_file_value = scene(tmp_path / "y.tif", pixels)
    assert daad.search(no_file_value, detector, no_data=0).scenes[0].judged == searched.judged


def test_scenes_that_fail_are_reported_and_their_candidates_before_the_error_are_kept(
    tmp_path: Path, detector: Path, spotted: Path
) -> None:
    content = spotted.read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) * 2 // 3])
    Image.fromarray(grained(1, 20, 20)[0, ..., 0]).save(tmp_path / "tiny.png")
    (tmp_path / "junk.png").write_bytes(b"junk")
    search = daad.search(tmp_path, detector, top=2000)
    assert [Path(searched.name).name for searched in search.scenes] == ["cut.tif", "scene.tif"]
    cut, good = search.scenes
    assert not cut.finished and 0 < cut.judged < good.judged == good.tiles
    reasons = " ".join(failure.reason for failure in search.failures)
    assert "less than a tile" in reasons and "junk.png" in reasons and "tile rows judged" in reasons
    assert {Path(candidate.scene).name for candidate in search.candidates} == {"cut.tif", "scene.tif"}
    write_search(search, tmp_path / "out")


@pytest.mark.parametrize("bad", ["absent.tif", "folder"])
def test_nothing_to_search_is_an_error(tmp_path: Path, detector: Path, bad: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=bad):
        daad.search(tmp_path / bad, detector)
    with pytest.raises(DataError, match="no scene was given"):
        daad.search([], detector)
    with pytest.raises(DataError, match="none of the 1 scenes can be searched"):
        daad.search(np.zeros((8, 8), np.uint8), detector)


KILLED = """
import os, signal, sys
import torch
torch.set_num_threads(1)
import daad
from daad.search import state
state.SAVE_EVERY_S = 0.0

def progress(phase, done, total):
    if done > total * 0.6:
        os.kill(os.getpid(), signal.SIGKILL)

daad.search(sys.argv[1], sys.argv[2], run=sys.argv[3], overlap=float(sys.argv[4]), progress=progress)
"""


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.7])
def test_a_killed_search_resumes_to_the_same_result(
    spotted: Path, detector: Path, tmp_path: Path, overlap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canvas, "MAP_SIDE", 200)
    monkeypatch.setattr(state, "SAVE_EVERY_S", 0.0)
    script = KILLED.replace("import daad\n", "import daad\nfrom daad.search import canvas\ncanvas.MAP_SIDE = 200\n", 1)
    arguments = [str(spotted), str(detector), str(tmp_path / "run"), str(overlap)]
    done = subprocess.run([sys.executable, "-c", script, *arguments], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    (progress,) = (tmp_path / "run").glob("scene-*/progress.json")
    stopped = json.loads(progress.read_text())["done"]
    judged: list[int] = []
    resumed = daad.search(
        spotted,
        detector,
        run=tmp_path / "run",
        overlap=overlap,
        resume=True,
        progress=lambda phase, count, total: judged.append(count),
    )
    uninterrupted = daad.search(spotted, detector, overlap=overlap)
    assert stopped > 0 and judged[0] > uninterrupted.scenes[0].tiles * 0.3
    assert resumed.candidates == uninterrupted.candidates
    np.testing.assert_array_equal(resumed.scenes[0].map, uninterrupted.scenes[0].map)
    np.testing.assert_array_equal(resumed.scenes[0].thumbnail, uninterrupted.scenes[0].thumbnail)


def test_only_the_same_search_is_resumed(spotted: Path, detector: Path, tmp_path: Path) -> None:
    def count(**options: Any) -> int:
        calls: list[int] = []
        daad.search(spotted, detector, run=tmp_path / "run", progress=lambda *call: calls.append(call[1]), **options)
        return len(calls)

    complete = count()
    assert count(resume=True) == 1 and count(overlap=0.5, resume=True) > complete
    assert count(resume=True) == 1  # both are kept
    for state_file in (tmp_path / "run").glob("scene-*/scores.npy"):
        state_file.write_bytes(b"damaged")
    assert count(resume=True) == complete
    assert count() == complete and len(list((tmp_path / "run").glob("scene-*"))) == 1
    os.utime(spotted, (1, 1))
    assert count(resume=True) == complete


def test_other_pixels_are_another_search(detector: Path, tmp_path: Path) -> None:
    one, two = grained(2, 64, 64, seed=5)
    options: dict[str, Any] = {"run": tmp_path / "run", "top": 1}
    daad.search([one], detector, **options)
    resumed = daad.search([two], detector, resume=True, **options)
    assert resumed.candidates == daad.search([two], detector, top=1).candidates


@pytest.mark.parametrize("crs", ["IAU_2015:30100", "+proj=longlat +R=1737400", "+proj=geos +h=35785831 +sweep=y"])
def test_a_scene_that_is_not_on_earth_is_searched_without_coordinates(crs: str, tmp_path: Path, detector: Path) -> None:
    georeference = {"crs": crs, "transform": rasterio.transform.from_origin(-5e6, 5e6, 20_000, 20_000)}
    search = daad.search(scene(tmp_path / "moon.tif", grained(1, 64, 64)[0], **georeference), detector)
    assert search.candidates and not search.failures
    assert any(candidate.longitude is None for candidate in search.candidates)


def test_a_tile_over_the_date_line_is_a_point(tmp_path: Path, detector: Path) -> None:
    georeference = {"crs": "EPSG:4326", "transform": rasterio.transform.from_origin(179.99, 10.0, 0.001, 0.001)}
    (candidate,) = daad.search(scene(tmp_path / "line.tif", grained(1, 32, 32)[0], **georeference), detector).candidates
    assert candidate.longitude is not None and -180 <= candidate.longitude <= 180 and candidate.corners == ()
    assert '"Point"' in (as_geojson([candidate]) or "")


def test_colour_scenes_reach_the_page(tmp_path: Path) -> None:
    colour = np.repeat(grained(8, 64, 64), 3, axis=3)
    fitted = Detector.fit(colour, tile=32, **QUICK)
    Image.fromarray(colour[0]).save(tmp_path / "scene.png")
    assert write_search(daad.search(tmp_path / "scene.png", fitted), tmp_path / "out").is_file()


def test_scenes_of_the_wrong_kind_do_not_stop_the_others(tmp_path: Path, detector: Path) -> None:
    wide = np.random.default_rng(0).integers(0, 256, (5, 40, 6000), dtype=np.uint8)
    good = grained(1, 64, 64)[0]
    for number in range(4):
        with rasterio.open(
            tmp_path / f"{number}-bad.tif", "w", driver="GTiff", width=6000, height=40, count=5, dtype="uint8"
        ) as file:
            file.write(wide)
        scene(tmp_path / f"{number}-good.tif", good)
    search = daad.search(tmp_path, detector)
    assert len(search.scenes) == 4 and len(search.failures) == 4
    assert all("has 5 channels" in failure.reason for failure in search.failures)
    assert [p.error is None for p in daad.load(detector).predict(tmp_path)] == [False, True] * 4


def test_a_scene_without_a_judged_tile_is_reported(tmp_path: Path, detector: Path) -> None:
    empty = scene(tmp_path / "empty.tif", np.zeros((64, 64, 1), np.uint8), nodata=0)
    good = scene(tmp_path / "good.tif", grained(1, 64, 64)[0])
    (failure,) = daad.search([empty, good], detector).failures
    assert "every tile holds missing data" in failure.reason


def test_a_scene_given_twice_is_one_and_equal_names_get_numbers(detector: Path, spotted: Path) -> None:
    assert len(daad.search([spotted, str(spotted)], detector).scenes) == 1
    pair = [Sample(grained(1, 64, 64, seed=seed)[0], "x") for seed in (1, 2)]
    assert [searched.name for searched in daad.search(pair, detector).scenes] == ["x", "x (2)"]


def test_many_scenes_hold_no_open_files(detector: Path, tmp_path: Path) -> None:
    scenes = list(grained(30, 40, 40))
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    search = daad.search(scenes, detector, run=tmp_path / "run")
    if before:
        assert len(list(Path("/proc/self/fd").iterdir())) < before + 20
    assert len(search.scenes) == 30 and search.scenes[7].scores.shape == (2, 2)


def test_too_many_tiles_are_refused_before_any_memory_is_taken(tmp_path: Path, detector: Path) -> None:
    path = tmp_path / "sparse.tif"
    shape = {"width": 900_000, "height": 900_000, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, SPARSE_OK="YES", BIGTIFF="YES", **shape):
        pass
    with pytest.raises(DataError, match=r"would be 1,406,\d+,\d+ tiles"):
        daad.search(path, detector)
    fifo = tmp_path / "fifo.tif"
    os.mkfifo(fifo)
    with pytest.raises(DataError, match="not a regular file"):
        daad.search(fifo, detector)


def test_the_command_writes_its_files(
    spotted: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["-d", str(detector), "-o", str(out), "--top", "7"]
    assert run(["search", str(spotted), *options]) == 0
    assert f"y {SPOT[0] // 10}" in capsys.readouterr().out.replace("y 34", "y 33")
    with (out / "candidates.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 7
    assert len(json.loads((out / "candidates.geojson").read_text())["features"]) == 7
    with Image.open(out / "mosaic.png") as mosaic:
        assert mosaic.size == (6 * 220, 2 * 254)
    with Image.open(next((out / "maps").iterdir())) as small:
        assert small.size == (700, 500)
    page = (out / "index.html").read_text()
    assert "Search of 1 scene" in page and page.count("data:image") == 8
    assert run(["search", str(tmp_path), *options, "--resume"]) == 0  # the files it wrote are no scenes
    assert "Search of 1 scene" in (out / "index.html").read_text()


def test_the_command_overwrites_no_file_of_the_user(
    spotted: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["search", str(tmp_path), "-d", str(detector), "-o", str(tmp_path)]) == 2
    assert "scenes lie there" in capsys.readouterr().err
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("user's")
    assert run(["search", str(spotted), "-d", str(detector), "-o", str(other)]) == 2
    assert "that daad did not write" in capsys.readouterr().err and (other / "index.html").read_text() == "user's"


def test_the_files_of_an_earlier_search_are_removed(spotted: Path, detector: Path, tmp_path: Path) -> None:
    out, plain = tmp_path / "out", tmp_path / "plain.png"
    Image.fromarray(grained(1, 64, 64)[0, ..., 0]).save(plain)
    for source in (spotted, plain):
        assert run(["search", str(source), "-d", str(detector), "-o", str(out)]) == 0
    assert not (out / "candidates.geojson").exists()
    assert [path.name for path in (out / "maps").iterdir()] == ["001-plain.png"]


def test_the_command_fails_where_a_scene_fails(
    spotted: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "junk.png").write_bytes(b"junk")
    paths = [str(spotted), str(tmp_path / "junk.png")]
    assert run(["search", *paths, "-d", str(detector), "-o", str(tmp_path / "out")]) == 1
    assert "junk.png" in capsys.readouterr().err
    assert run(["search", str(spotted), "-d", str(tmp_path / "no"), "-o", str(tmp_path / "out")]) == 1
    assert run(["search", str(spotted), "-d", str(detector), "-o", str(tmp_path / "out"), "--top", "0"]) == 2
