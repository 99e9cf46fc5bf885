"""What every kind of image becomes, and what is refused; files are made here, byte by byte where it matters."""

from __future__ import annotations

import contextlib
import io
import struct
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from daad.data.decode import MAX_PIXELS, decode, decode_mask, is_image_path, probe
from daad.data.sample import Sample
from daad.errors import ImageError

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (9, 7), dtype=np.uint8)
RGB8 = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (9, 7), dtype=np.uint16)
FEW = settings(max_examples=40, deadline=None)


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(width: int, height: int, bits: int, colour: int) -> bytes:
    fields = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", fields)


def png16(pixels: np.ndarray, *extra: bytes) -> bytes:
    """A 16-bit PNG of any channel count, which Pillow cannot write; rows alternate between filters None and Up."""
    height, width, channels = pixels.shape
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    up = rows - np.concatenate([rows[:1] * 0, rows[:-1]])
    data = b"".join(b"\0" + rows[y].tobytes() if y % 2 else b"\2" + up[y].tobytes() for y in range(height))
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    body = png_chunk(b"IDAT", zlib.compress(data)) + png_chunk(b"IEND", b"")
    return png_header(width, height, 16, colour) + b"".join(extra) + body


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def on_black(pixels: np.ndarray) -> np.ndarray:
    white = np.iinfo(pixels.dtype).max
    exact = pixels[..., :-1].astype(np.float64) * pixels[..., -1:] / white
    return np.floor(exact + 0.5).astype(pixels.dtype)


# --- formats and modes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("pixels", [GREY8, RGB8], ids=["grey", "rgb"])
def test_lossless_formats_give_the_very_pixels(file_format: str, pixels: np.ndarray) -> None:
    result = decode(encoded(Image.fromarray(pixels), file_format))
    assert result.dtype == np.uint8 and result.flags.c_contiguous
    np.testing.assert_array_equal(result, pixels.reshape(9, 7, -1))


def test_webp_and_jpeg_are_read() -> None:
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(RGB8), "WEBP", lossless=True)), RGB8)
    flat = Image.new("RGB", (16, 16), (40, 90, 200))
    assert np.abs(decode(encoded(flat, "JPEG", quality=95)).astype(int) - (40, 90, 200)).max() <= 3


def test_one_bit_becomes_black_and_white() -> None:
    result = decode(encoded(Image.fromarray(GREY8 > 127), "PNG"))
    np.testing.assert_array_equal(result[..., 0], np.where(GREY8 > 127, 255, 0))
    assert result.dtype == np.uint8


def test_palette_becomes_rgb() -> None:
    image = Image.fromarray(RGB8).quantize(8)
    np.testing.assert_array_equal(decode(encoded(image, "PNG")), np.asarray(image.convert("RGB")))


def test_palette_with_transparency_is_composited_on_black() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 100, 50, 10, 20, 30])
    image.putdata([0, 1])
    np.testing.assert_array_equal(decode(encoded(image, "PNG", transparency=0))[0], [[0, 0, 0], [10, 20, 30]])


def test_cmyk_jpeg_becomes_rgb() -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    result = decode(encoded(image, "JPEG", quality=95))
    assert result.shape == (16, 16, 3)
    assert np.abs(result.astype(int) - (255, 0, 0)).max() <= 4


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_other_colour_spaces_become_rgb(mode: str) -> None:
    assert decode(encoded(Image.new(mode, (4, 5), "#000000" if mode == "CMYK" else 0), "TIFF")).shape == (5, 4, 3)


@given(hnp.arrays(np.uint8, (3, 4, 3)))
@FEW
def test_opaque_alpha_gives_the_plain_colour(pixels: np.ndarray) -> None:
    opaque = np.dstack([pixels, np.full((3, 4), 255, np.uint8)])
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(opaque), "PNG")), pixels)


@given(hnp.arrays(np.uint8, (3, 4, 4)), hnp.arrays(np.uint8, (3, 4, 3)))
@FEW
def test_hidden_colour_of_transparent_pixels_does_not_matter(pixels: np.ndarray, hidden: np.ndarray) -> None:
    other = pixels.copy()
    other[..., :3] = np.where(pixels[..., 3:] == 0, hidden, pixels[..., :3])
    first, second = (decode(encoded(Image.fromarray(p), "PNG")) for p in (pixels, other))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, on_black(pixels))


def test_grey_with_alpha_stays_one_channel() -> None:
    pixels = RNG.integers(0, 256, (5, 6, 2), dtype=np.uint8)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(pixels, "LA"), "PNG")), on_black(pixels))


@pytest.mark.parametrize(("image", "key"), [(GREY8, int(GREY8[0, 0])), (RGB8, tuple(map(int, RGB8[0, 0])))])
def test_key_colour_of_png_becomes_black(image: np.ndarray, key: Any) -> None:
    result = decode(encoded(Image.fromarray(image), "PNG", transparency=key))
    expected = image.reshape(9, 7, -1).copy()
    expected[(expected == key).all(axis=2)] = 0
    np.testing.assert_array_equal(result, expected)


def test_key_colour_of_four_bit_grey_becomes_black() -> None:
    body = zlib.compress(b"\0\x5f")  # one row of two pixels: 5, 15
    parts = (png_chunk(b"tRNS", struct.pack(">H", 15)), png_chunk(b"IDAT", body), png_chunk(b"IEND", b""))
    assert decode(png_header(2, 1, 4, 0) + b"".join(parts)).ravel().tolist() == [85, 0]


# --- depth ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [encoded(Image.fromarray(GREY16), f) for f in ("PNG", "TIFF")])
def test_grey_of_16_bits_is_kept(data: bytes) -> None:
    result = decode(data)
    assert result.dtype == np.uint16 and result.dtype.isnative
    np.testing.assert_array_equal(result[..., 0], GREY16)


def test_big_endian_16_bit_tiff_is_kept() -> None:
    result = decode(tiff(GREY16, byteorder=">"))
    assert result.dtype.isnative
    np.testing.assert_array_equal(result[..., 0], GREY16)


def test_white_is_zero_tiff_is_inverted_at_both_depths() -> None:
    np.testing.assert_array_equal(decode(tiff(GREY8, photometric="miniswhite"))[..., 0], 255 - GREY8)
    np.testing.assert_array_equal(decode(tiff(GREY16, photometric="miniswhite"))[..., 0], 65535 - GREY16)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_png_of_16_bit_colour_keeps_every_bit(channels: int) -> None:
    pixels = RNG.integers(0, 65536, (9, 7, channels), dtype=np.uint16)
    result = decode(png16(pixels))
    np.testing.assert_array_equal(result, pixels if channels == 3 else on_black(pixels))
    assert result.dtype == np.uint16 and result.flags.c_contiguous


def test_key_colour_of_16_bit_png_compares_all_bits() -> None:
    pixels = np.array([[[256, 512, 768], [257, 512, 768]]], np.uint16)
    result = decode(png16(pixels, png_chunk(b"tRNS", struct.pack(">HHH", 256, 512, 768))))
    assert result.tolist() == [[[0, 0, 0], [257, 512, 768]]]


def test_32_bit_integers_are_read_if_they_fit_16() -> None:
    np.testing.assert_array_equal(decode(tiff(GREY16.astype(np.uint32)))[..., 0], GREY16)
    with pytest.raises(ImageError, match=r"scan: integer pixels reach from .* 70000.*16-bit grey"):
        decode(tiff(np.full((4, 4), 70000, np.uint32)), name="scan")
    with pytest.raises(ImageError, match="from -5"):
        decode(tiff(np.full((4, 4), -5, np.int16)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floating_point_tiff_is_refused_with_advice(dtype: Any) -> None:
    with pytest.raises(ImageError, match=r"depth: holds floating-point.*\[0, 1\]"):
        decode(tiff(np.zeros((4, 4), dtype)), name="depth")
    with pytest.raises(ImageError, match="floating-point"):
        decode(Image.new("F", (4, 4)))


# --- TIFF beyond Pillow -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [2, 4, 5, 9])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_many_channel_tiff_keeps_all_channels(dtype: Any, channels: int, planes: str) -> None:
    pixels = RNG.integers(0, np.iinfo(dtype).max, (9, 7, channels), dtype=dtype)
    stored = pixels if planes == "contig" else np.moveaxis(pixels, -1, 0)
    data = tiff(stored, photometric="minisblack", planarconfig=planes)
    result = decode(data)
    np.testing.assert_array_equal(result, pixels)
    assert result.dtype == dtype and result.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_rgba_tiff_follows_the_alpha_rule(dtype: Any) -> None:
    pixels = RNG.integers(0, np.iinfo(dtype).max, (9, 7, 4), dtype=dtype)
    np.testing.assert_array_equal(
        decode(tiff(pixels, photometric="rgb", extrasamples=["unassalpha"])), on_black(pixels)
    )


def test_premultiplied_16_bit_tiff_is_on_black_already() -> None:
    pixels = RNG.integers(0, 65536, (9, 7, 4), dtype=np.uint16)
    np.testing.assert_array_equal(decode(tiff(pixels, photometric="rgb", extrasamples=["assocalpha"])), pixels[..., :3])


def test_rgb_tiff_with_an_unnamed_fourth_channel_keeps_it() -> None:
    pixels = RNG.integers(0, 256, (9, 7, 4), dtype=np.uint8)
    np.testing.assert_array_equal(decode(tiff(pixels, photometric="rgb", extrasamples=["unspecified"])), pixels)


def test_16_bit_colour_tiff_is_kept() -> None:
    pixels = RNG.integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    np.testing.assert_array_equal(decode(tiff(pixels, photometric="rgb")), pixels)


def test_without_tifffile_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    five = tiff(np.zeros((4, 5, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    with pytest.raises(ImageError, match=r'cube: a TIFF of 5 channels.*pip install "daad\[tiff\]"'):
        decode(five, name="cube")
    np.testing.assert_array_equal(decode(tiff(RGB8, photometric="rgb")), RGB8)


def test_many_channel_tiff_is_refused_if_truncated_sparse_or_of_floats() -> None:
    content = tiff(RNG.integers(0, 256, (40, 50, 5), dtype=np.uint8), photometric="minisblack", planarconfig="contig")
    for length in (len(content) - 1, len(content) // 2):
        with pytest.raises(ImageError, match="cube"):
            decode(content[:length], name="cube")
    with pytest.raises(ImageError, match="floats"):
        decode(tiff(np.zeros((4, 5, 5), np.float32), photometric="minisblack", planarconfig="contig"))
    with pytest.raises(ImageError, match="65 channels"):
        decode(tiff(np.zeros((4, 5, 65), np.uint8), photometric="minisblack", planarconfig="contig"))


def test_tiff_whose_header_claims_more_tiles_than_it_has_is_refused() -> None:
    data = tiff(np.zeros((16, 16, 5), np.uint8), photometric="minisblack", planarconfig="contig", tile=(16, 16))
    length = data.index(struct.pack("<HHI", 257, 4, 1)) + 8
    larger = data[:length] + struct.pack("<I", 4000) + data[length + 4 :]
    assert probe(Sample(larger, "x")).height == 4000
    with pytest.raises(ImageError, match="parts of the image are missing"):
        decode(larger)


def test_bigtiff_is_read_if_little_endian() -> None:
    five = RNG.integers(0, 256, (9, 7, 5), dtype=np.uint8)
    options = {"photometric": "minisblack", "planarconfig": "contig", "bigtiff": True}
    np.testing.assert_array_equal(decode(tiff(five, **options)), five)
    np.testing.assert_array_equal(decode(tiff(GREY16, bigtiff=True))[..., 0], GREY16)
    with pytest.raises(ImageError, match="scan: is a big-endian BigTIFF"):
        decode(tiff(five, byteorder=">", **options), name="scan")


def test_first_page_of_several_is_read() -> None:
    stack = RNG.integers(0, 256, (3, 9, 7), dtype=np.uint8)
    np.testing.assert_array_equal(decode(tiff(stack, photometric="minisblack"))[..., 0], stack[0])


# --- orientation ------------------------------------------------------------------------------------------------

UPRIGHT = {  # the orientation code says where row 0 and column 0 of the stored pixels belong
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("code", UPRIGHT)
@pytest.mark.parametrize("kind", ["png", "tiff", "deep tiff", "pil"])
def test_orientation_is_applied_and_probed(code: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = code
    expected: np.ndarray = RGB8
    source: Any = encoded(Image.fromarray(RGB8), "PNG", exif=exif)
    if kind == "tiff":
        source = encoded(Image.fromarray(RGB8), "TIFF", tiffinfo={274: code})
    elif kind == "deep tiff":
        expected = RGB8.astype(np.uint16) * 256
        source = tiff(expected, photometric="rgb", extratags=[(274, 3, 1, code, True)])
    elif kind == "pil":
        source = Image.open(io.BytesIO(source))
    info = probe(Sample(source, "turned"))
    result = decode(source)
    np.testing.assert_array_equal(result, UPRIGHT[code](expected))
    assert (info.height, info.width) == result.shape[:2] and result.flags.c_contiguous


def test_broken_exif_does_not_matter() -> None:
    data = encoded(Image.fromarray(RGB8), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    np.testing.assert_array_equal(decode(data), RGB8)


# --- hostile and damaged files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_truncated_file_is_refused_by_name(file_format: str, tmp_path: Path) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path = tmp_path / "cut.bin"
    path.write_bytes(encoded(image, file_format)[:1500])
    with pytest.raises(ImageError, match=r"cut\.bin: cannot be decoded"):
        decode(path)


def test_giant_header_is_refused_before_decoding() -> None:
    data = png_header(100_000, 100_000, 8, 2) + png_chunk(b"IDAT", zlib.compress(b"\0")) + png_chunk(b"IEND", b"")
    with pytest.raises(ImageError, match=r"huge: 100000x100000 pixels.*limit of 100,000,000"):
        decode(data, name="huge")
    with pytest.raises(ImageError, match="limit"):
        probe(Sample(data, "huge"))


def test_max_pixels_is_the_only_limit() -> None:
    flat = encoded(Image.new("1", (20_000, 9_000)), "PNG")  # more than twice what Image.open tolerates
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=f"{MAX_PIXELS:,}"):
            decode(flat)
        assert probe(Sample(flat, "wide"), max_pixels=200_000_000).width == 20_000
        assert decode(np.zeros((9, 7), np.uint8), max_pixels=1).shape == (9, 7, 1)  # in memory already
    with pytest.raises(ImageError, match="limit of 62"):
        decode(encoded(Image.fromarray(GREY8), "PNG"), max_pixels=62)
    assert decode(encoded(Image.fromarray(GREY8), "PNG"), max_pixels=63).shape == (9, 7, 1)


def test_tiff_above_pillows_own_limit_does_not_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(decode(encoded(Image.fromarray(RGB8), "TIFF")), RGB8)


def test_many_channels_count_towards_the_limit() -> None:
    cube = tiff(np.zeros((10, 10, 9), np.uint8), photometric="minisblack", planarconfig="contig")
    with pytest.raises(ImageError, match="9 channels are more than the limit"):
        decode(cube, max_pixels=200)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"hello, I am a text file", "is not an image"),
        (b"GIF89a" + b"\0" * 40, "is not an image"),
        (b"II*\0" + b"\0" * 40, "cannot be decoded|header says 0x0"),
        (b"II*\0", "cannot be decoded"),
        (b"\x93NUMPY\x01\x00", "cannot be decoded"),
        (b"BMW", "cannot be decoded"),
    ],
)
def test_files_that_are_no_image_are_refused_by_name(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "text.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"text\.png: .*({complaint})"):
        decode(path)


def test_missing_file_folder_and_odd_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png: does not exist"):
        decode(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="part 7: does not exist at"):
        decode(tmp_path / "gone.png", name="part 7")
    with pytest.raises(ImageError, match="is a folder"):
        decode(str(tmp_path))
    with pytest.raises(ImageError, match="bytes: holds no bytes"):
        decode(b"")
    with pytest.raises(ImageError, match="int is not an image"):
        decode(7)


def test_extension_does_not_matter_to_decode(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(Image.fromarray(RGB8), "PNG"))
    np.testing.assert_array_equal(decode(str(path)), RGB8)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"II*\0", b"RIFF", b"\xff\xd8\xff", b"BM"]))
@FEW
def test_random_bytes_end_in_an_image_error(data: bytes, start: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata
        with pytest.raises(ImageError, match=r"^noise: "):
            decode(start + data, name="noise")


@given(st.integers(0, 5), st.integers(0, 2**16), st.integers(0, 255))
@FEW
def test_one_flipped_byte_never_escapes_as_another_error(which: int, position: int, value: int) -> None:
    five = tiff(np.zeros((6, 5, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    files = [encoded(Image.fromarray(RGB8), f) for f in ("PNG", "JPEG", "BMP", "TIFF", "WEBP")]
    data = bytearray([*files, five][which])
    data[position % len(data)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(ImageError):
            assert decode(bytes(data)).ndim == 3


# --- arrays, .npy and PIL images --------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", [GREY8, GREY16, RGB8, RGB8.astype(">u2"), RGB8[::-1, :, ::2]])
def test_integer_arrays_are_kept(pixels: np.ndarray) -> None:
    result = decode(pixels)
    np.testing.assert_array_equal(result, pixels.reshape(9, 7, -1))
    assert result.dtype == pixels.dtype.newbyteorder("=") and result.flags.c_contiguous


def test_bool_array_becomes_black_and_white() -> None:
    assert decode(np.array([[True, False]])).ravel().tolist() == [255, 0]


@given(hnp.arrays(np.uint16, (3, 4)), st.sampled_from([np.float32, np.float64]))
@FEW
def test_floats_keep_16_bits(pixels: np.ndarray, dtype: Any) -> None:
    np.testing.assert_array_equal(decode((pixels / 65535).astype(dtype))[..., 0], pixels)


def test_half_floats_do_not_overflow() -> None:
    assert decode(np.array([[0, 0.5, 1]], np.float16)).ravel().tolist() == [0, 32768, 65535]


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.array([[0.0, np.nan]]), "NaN"),
        (np.array([[0.0, np.inf]]), "infinite"),
        (np.array([[0.0, 255.0]]), r"from 0 to 255, outside \[0, 1\]"),
        (np.array([[1, 2]]), "dtype int64"),
        (np.array([["a"]]), "dtype"),
        (np.array([[None]]), "dtype object"),
        (np.zeros((0, 4), np.uint8), "no pixels"),
        (np.zeros(4, np.uint8), "1 axes"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"4 axes \(N, H, W, C\)"),
        (np.zeros((3, 100, 200), np.uint8), "200 channels.*channel axis"),
    ],
)
def test_arrays_that_cannot_be_an_image_are_refused(array: np.ndarray, complaint: str) -> None:
    with pytest.raises(ImageError, match=rf"frame: .*{complaint}"):
        decode(array, name="frame")


@pytest.mark.parametrize("array", [RGB8, GREY16, np.asfortranarray(RGB8), np.linspace(0, 1, 12).reshape(3, 4)])
def test_npy_file_equals_its_array(array: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, array)
    np.testing.assert_array_equal(decode(path), decode(array))
    np.testing.assert_array_equal(decode(path.read_bytes()), decode(array))


def test_npy_with_a_false_header_or_pickles_is_refused() -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6)})
    with pytest.raises(ImageError, match="limit"):
        decode(stream.getvalue())
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (100, 100)})
    with pytest.raises(ImageError, match="cut: cannot be decoded"):
        decode(stream.getvalue() + b"\0" * 50, name="cut")
    stream = io.BytesIO()
    np.save(stream, np.array([[{}]]), allow_pickle=True)
    with pytest.raises(ImageError, match="dtype object"):
        decode(stream.getvalue())


def test_pil_image_equals_its_file() -> None:
    for image in (Image.fromarray(RGB8), Image.fromarray(GREY16), Image.fromarray(RGB8).quantize(4)):
        np.testing.assert_array_equal(decode(image), decode(encoded(image, "PNG")))


@pytest.mark.parametrize(
    "source",
    [
        encoded(Image.fromarray(RGB8), "PNG"),
        encoded(Image.fromarray(RGB8).quantize(4), "PNG"),
        encoded(Image.fromarray(RGB8).convert("CMYK"), "JPEG"),
        encoded(Image.fromarray(RGB8).convert("LA"), "PNG"),
        encoded(Image.fromarray(GREY8 > 9), "TIFF"),
        encoded(Image.fromarray(GREY16), "PNG"),
        *(png16(RNG.integers(0, 65536, (9, 7, c), dtype=np.uint16)) for c in (1, 2, 3, 4)),
        tiff(RNG.integers(0, 65536, (9, 7, 4), dtype=np.uint16), photometric="rgb", extrasamples=["unassalpha"]),
        tiff(RNG.integers(0, 256, (9, 7, 6), dtype=np.uint8), photometric="minisblack", planarconfig="contig"),
        Image.fromarray(RGB8).convert("RGBA"),
        RGB8 / 255,
        GREY8 > 3,
    ],
)
def test_probe_predicts_decode(source: Any) -> None:
    info, result = probe(Sample(source, "x")), decode(source)
    assert (info.height, info.width, info.channels) == result.shape
    assert info.dtype == result.dtype.name and info.name == "x"


def test_image_paths_are_recognised_by_extension() -> None:
    assert all(map(is_image_path, ["a.PNG", "b/c.jpeg", Path("x.tiff"), "y.npy", "z.webp"]))
    assert not any(map(is_image_path, ["a.gif", "Thumbs.db", "png", "a.txt", "a.png.zip"]))


# --- masks ------------------------------------------------------------------------------------------------------


def test_any_nonzero_pixel_of_a_mask_is_anomalous() -> None:
    mask = np.array([[0, 1], [128, 255]], np.uint8)
    expected = [[False, True], [True, True]]
    assert decode_mask(encoded(Image.fromarray(mask), "PNG"), shape=(2, 2)).tolist() == expected
    for array in (mask, mask.astype(np.int64), mask / 255, mask[..., None], mask > 0):
        result = decode_mask(array, shape=(2, 2))
        assert result.tolist() == expected and result.dtype == np.bool_


def test_mask_is_resized_to_the_nearest_pixel_only_at_the_same_aspect() -> None:
    mask = np.zeros((10, 20), np.uint8)
    mask[:5, :5] = 255
    result = decode_mask(mask, shape=(20, 40))
    np.testing.assert_array_equal(result, np.kron(mask > 0, np.ones((2, 2), bool)))
    assert decode_mask(np.zeros((100, 100)), shape=(101, 100)).shape == (101, 100)
    with pytest.raises(ImageError, match=r"m\.png: the mask is 20x10 and its image 20x20"):
        decode_mask(mask, shape=(20, 20), name="m.png")


@pytest.mark.parametrize("mask", [np.array([[np.nan]]), np.zeros((2, 2, 2, 2)), np.zeros((0, 3)), np.array([["x"]])])
def test_invalid_masks_are_refused(mask: np.ndarray) -> None:
    with pytest.raises(ImageError, match="mask"):
        decode_mask(mask, shape=(1, 1))


def test_a_giant_file_is_refused_by_its_size(tmp_path):
    path = tmp_path / "giant.png"
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(3 * 2**30)
    with pytest.raises(ImageError, match=r"giant\.png: 3,221,225,472 bytes are more than the limit"):
        decode(path)


def test_a_jpeg_full_of_junk_is_refused(tmp_path):
    path = tmp_path / "junk.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" + b"\0" * 2**20)
    with pytest.raises(ImageError, match=r"junk\.jpg: no JPEG marker"):
        decode(path)


def tiff_with_tag(tag: int, kind: int, count: int, *, big: bool = False, channels: int = 1) -> bytes:
    """A grey 8-bit image of one pixel whose header has one more tag, of `count` zeros."""
    size = count * {2: 1, 3: 2, 4: 4, 7: 1, 16: 8, 99: 0}[kind]
    tags = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8, 277: channels, 278: 1, 279: channels}
    entries = {t: struct.pack("<HHQQ" if big else "<HHII", t, 4, 1, value) for t, value in tags.items()}
    head = (b"II+\0\x08\0\0\0" if big else b"II*\0") + struct.pack("<Q" if big else "<I", 32)
    directory = 32 + (16 + 20 * 10 if big else 6 + 12 * 10)
    entries[tag] = struct.pack("<HHQQ" if big else "<HHII", tag, kind, count, directory)
    body = struct.pack("<Q" if big else "<H", len(entries)) + b"".join(entries[t] for t in sorted(entries))
    return (head.ljust(32, b"\0") + body).ljust(directory, b"\0") + bytes(min(size, 2**21))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize(
    ("tag", "kind", "count"),
    [
        (258, 3, 2**20),
        (277, 3, 2**19 + 1),
        (338, 7, 2**20 + 1),
        (273, 4, 200_000_000),
        (34675, 3, 2**20),
        (34675, 7, 2**30),
    ],
)
def test_a_tiff_tag_of_absurd_size_is_refused_before_it_is_read(
    tag: int, kind: int, count: int, channels: int, big: bool
) -> None:
    data = tiff_with_tag(tag, kind, count, channels=channels, big=big)
    for refuse in (decode, lambda data: probe(Sample(data, "bytes"))):
        with pytest.raises(ImageError, match=rf"^bytes: TIFF tag {tag} claims [0-9,]+ bytes, more than"):
            refuse(data)


def test_many_large_tiff_tags_are_refused_by_their_sum() -> None:
    entry = struct.pack("<HHII", 50_000, 7, 2**26, 8)
    with pytest.raises(ImageError, match="TIFF tag 50000 claims 67,108,864 bytes"):
        decode(b"II*\0" + struct.pack("<IH", 8, 3) + entry * 3 + bytes(4))


def test_a_bigtiff_of_countless_tags_is_refused() -> None:
    with pytest.raises(ImageError, match="claims 1,099,511,627,776 tags"):
        decode(b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**40) + bytes(100))


@pytest.mark.parametrize(
    ("tag", "kind", "count"), [(34675, 7, 2**21), (270, 2, 2**21), (324, 4, 2**19), (50_000, 99, 2**30)]
)
def test_profiles_descriptions_and_long_tables_may_be_large(tag: int, kind: int, count: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert probe(Sample(tiff_with_tag(tag, kind, count), "a")).width == 1


def test_a_profile_of_two_megabytes_does_not_matter() -> None:
    data = encoded(Image.fromarray(RGB8), "TIFF", icc_profile=bytes(2**21))
    np.testing.assert_array_equal(decode(data), RGB8)
