"""Images are decoded once, kept in order, reused only while nothing changed, and rebuilt when damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from daad.data import cache
from daad.data.cache import CachedImages, cache_images
from daad.data.decode import decode
from daad.data.preprocess import Preprocess
from daad.data.sample import Sample
from daad.errors import DataError

SPEC = Preprocess(height=6, width=5, channels=3)
RNG = np.random.default_rng(2)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    samples = []
    for i in range(12):
        path = tmp_path / "images" / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (9, 8, 3), dtype=np.uint8)).save(path)
        samples.append(Sample(path, path.name, 0))
    return samples


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all samples that are decoded."""
    names: list[str] = []

    def counting(source: Any, *, name: str) -> np.ndarray:
        names.append(name)
        return decode(source, name=name)

    monkeypatch.setattr(cache, "decode", counting)
    return names


def expected(samples: list[Sample]) -> np.ndarray:
    return np.stack([SPEC.apply(decode(s.image)) for s in samples])


def same(first: CachedImages, second: CachedImages) -> bool:
    contents = [(c.samples, c.failures, c.fingerprint, c.images.tobytes(), c.images.shape) for c in (first, second)]
    return contents[0] == contents[1]


@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_images_come_in_order_and_read_only(on_disk: bool, workers: int, samples: list[Sample], tmp_path: Path) -> None:
    result = cache_images(samples, SPEC, tmp_path / "cache" if on_disk else None, workers=workers)
    np.testing.assert_array_equal(result.images, expected(samples))
    assert result.images.dtype == np.uint8 and not result.images.flags.writeable
    assert result.samples == samples and result.failures == []
    assert isinstance(result.images, np.memmap) == on_disk


def test_memory_and_disk_agree(samples: list[Sample], tmp_path: Path) -> None:
    assert same(cache_images(samples, SPEC, None), cache_images(samples, SPEC, tmp_path / "cache"))


def test_every_image_is_decoded_once_and_then_reused(samples: list[Sample], decoded: list[str], tmp_path: Path) -> None:
    first = cache_images(samples, SPEC, tmp_path / "cache")
    assert sorted(decoded) == [s.name for s in samples]
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == ["images.npy", "index.json"]
    decoded.clear()
    assert same(first, cache_images(samples, SPEC, tmp_path / "cache"))
    assert decoded == []


def test_bad_images_are_left_out_and_cached_as_failures(
    samples: list[Sample], decoded: list[str], tmp_path: Path
) -> None:
    Path(samples[0].image).write_bytes(b"text")
    Image.new("L", (4, 4)).save(samples[7].image)  # grey fits 3 channels
    samples[9] = Sample(np.zeros((4, 4, 5), np.uint8), "five", 0)
    first = cache_images(samples, SPEC, tmp_path / "cache")
    good = [s for i, s in enumerate(samples) if i not in (0, 9)]
    assert first.samples == good
    assert [(f.name, f.reason.split(":")[0]) for f in first.failures] == [("00.png", "00.png"), ("five", "five")]
    np.testing.assert_array_equal(first.images, expected(good))
    np.testing.assert_array_equal(np.load(tmp_path / "cache/images.npy"), expected(good))
    decoded.clear()
    assert same(first, cache_images(samples, SPEC, tmp_path / "cache")) and decoded == []
    assert same(first, cache_images(samples, SPEC, None))


def test_labels_come_from_the_samples_not_from_the_cache(samples: list[Sample], tmp_path: Path) -> None:
    cache_images(samples, SPEC, tmp_path / "cache")
    relabelled = [Sample(s.image, s.name, 1) for s in samples]
    assert cache_images(relabelled, SPEC, tmp_path / "cache").samples == relabelled


def change_pixels(samples: list[Sample]) -> list[Sample]:
    Image.new("RGB", (9, 9)).save(samples[3].image)
    return samples


def change_time(samples: list[Sample]) -> list[Sample]:
    os.utime(samples[3].image, ns=(1, 1))
    return samples


def change_order(samples: list[Sample]) -> list[Sample]:
    return samples[::-1]


def change_folder(samples: list[Sample]) -> list[Sample]:
    """The same names, sizes and times somewhere else, as archives unpack them."""
    moved = []
    for sample in samples:
        path = Path(sample.image).parent / "copy" / sample.name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(Path(sample.image).read_bytes())
        time = Path(sample.image).stat().st_mtime_ns
        os.utime(path, ns=(time, time))
        moved.append(Sample(path, sample.name, 0))
    return moved


@pytest.mark.parametrize("change", [change_pixels, change_time, change_order, change_folder, lambda s: s[:-1]])
def test_any_change_of_the_files_rebuilds(
    change: Any, samples: list[Sample], decoded: list[str], tmp_path: Path
) -> None:
    cache_images(samples, SPEC, tmp_path / "cache")
    decoded.clear()
    changed = change(samples)
    result = cache_images(changed, SPEC, tmp_path / "cache")
    assert len(decoded) == len(changed)
    np.testing.assert_array_equal(result.images, expected(changed))


def test_another_preprocess_rebuilds(samples: list[Sample], decoded: list[str], tmp_path: Path) -> None:
    cache_images(samples, SPEC, tmp_path / "cache")
    decoded.clear()
    other = SPEC.model_copy(update={"interpolation": "box"})
    assert cache_images(samples, other, tmp_path / "cache").images.shape == (12, 6, 5, 3)
    assert len(decoded) == 12


@pytest.mark.parametrize(
    "images",
    [
        [RNG.integers(0, 256, (9, 8, 3), dtype=np.uint8) for _ in range(2)],
        [b"not an image", Path("tests").absolute().as_posix().encode()],
        [Image.new("RGB", (9, 8), colour) for colour in ("red", "blue")],
    ],
    ids=["arrays", "bytes", "pil"],
)
def test_images_in_memory_are_compared_by_content(images: list[Any], decoded: list[str], tmp_path: Path) -> None:
    good = Sample(np.zeros((9, 8, 3), np.uint8), "good")

    def run(image: Any) -> int:
        decoded.clear()
        cache_images([good, Sample(image, "x")], SPEC, tmp_path / "cache")
        return len(decoded)

    assert [run(images[0]), run(images[0]), run(images[1]), run(images[1])] == [2, 0, 2, 0]


def truncate(folder: Path) -> None:
    data = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(data[: len(data) // 2])


def flip_a_pixel(folder: Path) -> None:
    data = bytearray((folder / "images.npy").read_bytes())
    data[-1] ^= 1
    (folder / "images.npy").write_bytes(data)


def edit_index(**fields: Any) -> Any:
    def damage(folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text())
        (folder / "index.json").write_text(json.dumps({**index, **fields}))

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        flip_a_pixel,
        lambda folder: (folder / "images.npy").unlink(),
        lambda folder: (folder / "images.npy").write_bytes(b""),
        lambda folder: (folder / "index.json").write_text("{"),
        lambda folder: (folder / "index.json").write_text("[]"),
        edit_index(kept=[99] * 12),
        edit_index(kept=None),
        edit_index(failures=[3]),
        edit_index(fingerprint="0"),
    ],
)
def test_damaged_cache_is_rebuilt(damage: Any, samples: list[Sample], decoded: list[str], tmp_path: Path) -> None:
    first = cache_images(samples, SPEC, tmp_path / "cache")
    content = first.images.tobytes()
    damage(tmp_path / "cache")
    decoded.clear()
    second = cache_images(samples, SPEC, tmp_path / "cache")
    assert len(decoded) == 12
    assert second.images.tobytes() == content and second.fingerprint == first.fingerprint


def test_interrupted_run_leaves_the_old_cache_alone(samples: list[Sample], decoded: list[str], tmp_path: Path) -> None:
    first = cache_images(samples, SPEC, tmp_path / "cache")

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache_images(samples[::-1], SPEC, tmp_path / "cache", progress=stop)
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == ["images.npy", "index.json"]
    decoded.clear()
    assert same(first, cache_images(samples, SPEC, tmp_path / "cache")) and decoded == []


def test_fingerprint_depends_on_names_pixels_and_order(samples: list[Sample]) -> None:
    renamed = [Sample(s.image, f"x{s.name}") for s in samples]
    prints = [cache_images(s, SPEC, None).fingerprint for s in (samples, samples[::-1], samples[1:], renamed)]
    assert len(set(prints)) == 4
    assert cache_images(samples, SPEC, None, workers=7).fingerprint == prints[0]


def test_progress_counts_every_image(samples: list[Sample], tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    cache_images(samples, SPEC, tmp_path / "cache", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 12) for i in range(1, 13)]
    cache_images(samples, SPEC, tmp_path / "cache", progress=lambda done, total: calls.append((done, total)))
    assert calls[12:] == [(12, 12)]


def test_few_images_are_decoded_ahead(samples: list[Sample], decoded: list[str]) -> None:
    ahead: list[int] = []
    cache_images(samples * 10, SPEC, None, workers=2, progress=lambda done, total: ahead.append(len(decoded) - done))
    assert max(ahead) <= 5


def test_16_bit_images_stay_16_bit(tmp_path: Path) -> None:
    deep = Preprocess(height=4, width=4, channels=1, dtype="uint16")
    image = RNG.integers(0, 65536, (4, 4, 1), dtype=np.uint16)
    result = cache_images([Sample(image, "a")], deep, tmp_path)
    assert result.images.dtype == np.uint16
    np.testing.assert_array_equal(result.images[0], image)


@pytest.mark.parametrize("on_disk", [True, False])
def test_nothing_usable_is_an_error_with_reasons(on_disk: bool, tmp_path: Path) -> None:
    folder = tmp_path / "cache" if on_disk else None
    with pytest.raises(DataError, match=r"none of the 5 images can be used(.|\n)*x0: is not an image"):
        cache_images([Sample(b"text", f"x{i}") for i in range(5)], SPEC, folder)
    assert folder is None or list(folder.iterdir()) == []
    with pytest.raises(DataError, match="no images"):
        cache_images([], SPEC, folder)


def test_unusable_folder_is_named(samples: list[Sample], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: the image cache cannot be kept there"):
        cache_images(samples, SPEC, tmp_path / "file")
