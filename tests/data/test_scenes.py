"""Scenes: a window equals that part of the decoded image, and pixels without data are masked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from daad import ImageError, Sample
from daad.data import rasterio_scene
from daad.data.decode import decode
from daad.data.patches import Patch, fill_nearest, large_gaps
from daad.data.scenes import open_scene, probe_scene
from daad.data.tiles import Window

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
PIXELS = np.random.default_rng(0).integers(1, 256, (3, 200, 300), dtype=np.uint8)
WINDOW = Window(130, 190, 64, 80)


def write(path: Path, bands: Any, **options: Any) -> Path:
    """Bands (C, H, W) as a file by GDAL."""
    count, height, width = bands.shape
    options = {"driver": "GTiff", "width": width, "height": height, "count": count, "dtype": bands.dtype, **options}
    with rasterio.open(path, "w", **options) as file:
        file.write(bands)
    return path


def read(path: Path, window: Window = WINDOW, no_data: float | None = None) -> Patch:
    with open_scene(Sample(path, path.name), no_data) as scene:
        return scene.read(window)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("strips.tif", {}),
        ("tiled.tif", {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}),
        ("big.tif", {"BIGTIFF": "YES", "tiled": True, "blockxsize": 64, "blockysize": 64}),
        ("big-endian.tif", {"BIGTIFF": "YES", "ENDIANNESS": "BIG"}),
        ("planes.tif", {"interleave": "band"}),
        ("lossless.jp2", {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"}),
    ],
)
def test_a_window_equals_that_part_of_the_image(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    path = write(tmp_path / name, PIXELS, **options)
    patch = read(path)
    assert patch.valid is None and patch.pixels.dtype == np.uint8
    np.testing.assert_array_equal(patch.pixels, PIXELS[:, 130:194, 190:270].transpose(1, 2, 0))
    info = probe_scene(Sample(path, "x"))
    assert info == (200, 300, 3, "uint8", "x")


def test_an_image_of_another_format_is_decoded_completely(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(PIXELS.transpose(1, 2, 0)).save(path)
    np.testing.assert_array_equal(read(path).pixels, decode(path)[130:194, 190:270])
    rotated = tmp_path / "rotated.tif"
    Image.fromarray(PIXELS.transpose(1, 2, 0)).save(rotated, tiffinfo={274: 3})
    np.testing.assert_array_equal(read(rotated).pixels, decode(rotated)[130:194, 190:270])
    np.testing.assert_array_equal(decode(rotated), PIXELS.transpose(1, 2, 0)[::-1, ::-1])
    with open_scene(Sample(PIXELS[0], "array")) as scene:
        assert scene.read(WINDOW).pixels.shape == (64, 80, 1) and scene.geo is None


def test_depths_and_many_bands_are_kept(tmp_path: Path) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (7, 200, 300), dtype=np.uint16)
    patch = read(write(tmp_path / "deep.tif", deep))
    assert patch.pixels.dtype == np.uint16
    np.testing.assert_array_equal(patch.pixels, deep[:, 130:194, 190:270].transpose(1, 2, 0))


def test_what_the_file_calls_no_data_is_not_valid(tmp_path: Path) -> None:
    bands = PIXELS.copy()
    bands[:, :, :200] = 0
    expected = np.arange(190, 270) >= 200
    by_value = read(write(tmp_path / "nodata.tif", bands, nodata=0))
    assert by_value.valid is not None and (by_value.valid == expected).all()
    by_user = read(write(tmp_path / "user.tif", bands), no_data=0)
    assert by_user.valid is not None and (by_user.valid == expected).all()
    alpha = np.where(np.arange(300) >= 200, 255, 0).astype(np.uint8)
    with_alpha = np.concatenate([PIXELS, np.broadcast_to(alpha, (1, 200, 300))])
    by_alpha = read(write(tmp_path / "alpha.tif", with_alpha, photometric="rgb", ALPHA="YES"))
    assert by_alpha.pixels.shape == (64, 80, 3) and (by_alpha.valid == expected).all()


def test_floats_become_16_bits_and_nan_is_no_data(tmp_path: Path) -> None:
    floats = (PIXELS[:1] / 255).astype(np.float32)
    floats[0, 140, 200] = np.nan
    patch = read(write(tmp_path / "float.tif", floats))
    assert patch.pixels.dtype == np.uint16 and patch.valid is not None
    assert not patch.valid[10, 10] and patch.valid.sum() == 64 * 80 - 1
    expected = np.rint(floats[0, 130:194, 190:270] * 65535)
    np.testing.assert_array_equal(patch.pixels[..., 0][patch.valid], expected[patch.valid])


@pytest.mark.parametrize(
    ("bands", "match"),
    [
        (PIXELS[:1].astype(np.int16), "holds int16, which says nothing of where white is"),
        (PIXELS[:1].astype(np.float32), r"float values reach from .* outside \[0, 1\]"),
        (np.zeros((65, 200, 300), np.uint8), "has 65 bands"),
    ],
)
def test_pixels_of_unknown_range_are_refused(tmp_path: Path, bands: Any, match: str) -> None:
    with pytest.raises(ImageError, match=rf"x\.tif: {match}"):
        read(write(tmp_path / "x.tif", bands))


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    content = write(tmp_path / "complete.tif", PIXELS, tiled=True, blockxsize=64, blockysize=64).read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"cut\.tif: cannot be read at row 130, column 190"):
        read(tmp_path / "cut.tif")
    (tmp_path / "stub.tif").write_bytes(content[:4])
    (tmp_path / "stub.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n")
    for name in ("stub.tif", "stub.jp2", "absent.tif"):
        with pytest.raises(ImageError, match=name):
            read(tmp_path / name)


def test_a_file_in_one_huge_block_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasterio_scene, "MAX_BLOCK_BYTES", 1000)
    with pytest.raises(ImageError, match="save it as a tiled TIFF"):
        read(write(tmp_path / "x.tif", PIXELS, blockysize=200))


def test_without_rasterio_tiff_is_decoded_and_jpeg_2000_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x.tif", PIXELS)
    jp2 = write(tmp_path / "x.jp2", PIXELS, driver="JP2OpenJPEG")
    monkeypatch.setitem(__import__("sys").modules, "rasterio", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    np.testing.assert_array_equal(read(path).pixels, PIXELS[:, 130:194, 190:270].transpose(1, 2, 0))
    with pytest.raises(ImageError, match=r'pip install "daad\[scenes\]"'):
        read(jp2)


def test_geo_is_the_dataset_of_a_geo_referenced_file_only(tmp_path: Path) -> None:
    georeference = {"crs": "EPSG:32633", "transform": rasterio.transform.from_origin(5e5, 5e6, 10, 10)}
    for name, options, has_geo in (("a.tif", georeference, True), ("b.tif", {}, False)):
        with open_scene(Sample(write(tmp_path / name, PIXELS, **options), name)) as scene:
            assert (scene.geo is not None) is has_geo


def test_dead_pixels_and_lines_are_filled_and_are_no_large_gaps() -> None:
    missing = np.zeros((20, 30), bool)
    missing[5, 7] = missing[:, 12] = missing[3:5, 20:22] = True
    assert not large_gaps(missing).any()
    missing[:, :3] = True
    assert (large_gaps(missing) == (np.arange(30) < 3)).all()
    pixels = np.arange(600, dtype=np.uint16).reshape(20, 30, 1)
    filled = fill_nearest(pixels, ~missing)
    assert (filled[~missing] == pixels[~missing]).all()
    assert abs(int(filled[5, 7, 0]) - int(pixels[5, 7, 0])) in (1, 30)


def test_transparency_means_the_same_in_every_format(tmp_path: Path) -> None:
    alpha = np.zeros((1, 200, 300), np.uint8)
    alpha[:, 50:] = 255
    alpha[:, 120:] = 128
    bands = np.concatenate([PIXELS, alpha])
    Image.fromarray(bands.transpose(1, 2, 0)).save(tmp_path / "a.png")
    write(tmp_path / "a.tif", bands, photometric="rgb", ALPHA="YES")
    window = Window(0, 0, 200, 300)
    png, tif = (read(tmp_path / name, window) for name in ("a.png", "a.tif"))
    np.testing.assert_array_equal(png.pixels, tif.pixels)
    for patch in (png, tif):
        assert patch.valid is not None and (patch.valid == (alpha[0] > 0)).all()
    np.testing.assert_array_equal(png.pixels, decode(tmp_path / "a.png"))


def test_no_data_and_nan_of_arrays_are_those_of_files(tmp_path: Path) -> None:
    floats = (PIXELS[0] / 255).astype(np.float32)
    floats[:50], floats[60, 60] = 1.0, np.nan
    np.save(tmp_path / "a.npy", floats)
    write(tmp_path / "a.tif", floats[None])
    window = Window(0, 0, 200, 300)
    of_file = read(tmp_path / "a.tif", window, no_data=1.0)
    for source in (tmp_path / "a.npy", floats):
        with open_scene(Sample(source, "a"), no_data=1.0) as scene:
            patch = scene.read(window)
        assert patch.valid is not None and of_file.valid is not None
        np.testing.assert_array_equal(patch.valid, of_file.valid)
        np.testing.assert_array_equal(patch.pixels[patch.valid], of_file.pixels[patch.valid])


def test_odd_depths_are_read_as_decode_reads_them(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[0] > 120).save(tmp_path / "one.tif")
    write(tmp_path / "four.tif", PIXELS[:1] // 16, NBITS="4")
    for name in ("one.tif", "four.tif"):
        np.testing.assert_array_equal(read(tmp_path / name).pixels, decode(tmp_path / name)[130:194, 190:270])


def test_blocks_that_were_never_written_have_no_data(tmp_path: Path) -> None:
    path = tmp_path / "part.tif"
    shape = {"width": 300, "height": 200, "count": 1, "dtype": "uint8", "tiled": True, "SPARSE_OK": "YES"}
    with rasterio.open(path, "w", driver="GTiff", blockxsize=64, blockysize=64, **shape) as file:
        file.write(PIXELS[:1, :64], window=((0, 64), (0, 300)))
    patch = read(path, Window(30, 10, 100, 200))
    assert patch.valid is not None and (patch.valid == (np.arange(30, 130) < 64)[:, None]).all()


def test_a_read_after_closing_is_refused(tmp_path: Path) -> None:
    with open_scene(Sample(write(tmp_path / "x.tif", PIXELS), "x")) as scene:
        pass
    with pytest.raises(ImageError, match="was closed"):
        scene.read(WINDOW)


def test_a_file_whose_name_gdal_refuses_is_decoded_completely(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "x.tif", PIXELS).rename(tmp_path / "bad\udcff.tif"))
    assert read(path).pixels.shape == (64, 80, 3)
