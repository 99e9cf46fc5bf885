"""Decode every image once: preprocessed pixels in one memory-mapped file, reused while nothing changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from daad.data.cache_store import CacheIndex, DiskStore, Images, MemoryStore, cache_key, digest_image, load
from daad.data.decode import decode
from daad.data.patches import filled_pixels
from daad.data.prefetch import in_order
from daad.data.preprocess import Preprocess
from daad.data.sample import Failure, Sample
from daad.data.scenes import open_scene
from daad.data.tiles import Window
from daad.errors import DataError, ImageError

Progress = Callable[[int, int], None]
Windows = Sequence[Sequence[Window]]


@dataclass(frozen=True, slots=True)
class CachedImages:
    """Preprocessed images (N, H, W, C), read-only, with the samples they belong to and those left out.

    Of tiled images every row is a tile: `samples` repeats the sample of its image, and `corners` holds its (top, left).
    `fingerprint` is the sha256 of all names and pixels, in order: the provenance of what was learned.
    """

    images: Images
    samples: list[Sample]
    failures: list[Failure]
    fingerprint: str
    corners: list[tuple[int, int]]


def cache_images(
    samples: Sequence[Sample],
    preprocess: Preprocess,
    folder: Path | None,
    *,
    windows: Windows | None = None,
    max_no_data: float = 0.0,
    progress: Progress | None = None,
    workers: int = 2,
) -> CachedImages:
    """Decode and preprocess every sample once, to a file or to memory.

    An image that cannot be used becomes a Failure and is left out. A cache on disk is reused without decoding if files
    (path, size, time of change), `preprocess` and `windows` are the same. A damaged one is rebuilt.

    Args:
        samples: what to decode.
        preprocess: applied to every image, or to every tile.
        folder: of images.npy and index.json; None keeps the images in memory.
        windows: the tiles of every sample, prepared instead of the complete image.
        max_no_data: a tile is left out if a larger share of it, in [0, 1), is borders or holes without data.
        progress: called with (done, total) after every image or tile.
        workers: threads that decode; tiles are read in one.

    Raises:
        DataError: no image can be used, or the folder cannot be written.
    """
    if not samples:
        raise DataError("no images to prepare; give at least one")
    task = _Task(samples, preprocess, windows, max_no_data, progress, max(1, workers))
    if folder is None:
        images, index = _fill(MemoryStore(task.total, preprocess), task)
    else:
        try:
            images, index = _load_or_fill(Path(folder), task)
        except OSError as error:
            raise DataError(f"{folder}: the image cache cannot be kept there ({error}); give another folder") from error
    row_samples = [samples[sample_index] for sample_index in index.sample_indices]
    return CachedImages(images, row_samples, index.failures, index.fingerprint, index.corners)


@dataclass(frozen=True)
class _Task:
    """The arguments of `cache_images`."""

    samples: Sequence[Sample]
    preprocess: Preprocess
    windows: Windows | None
    max_no_data: float
    progress: Progress | None
    workers: int

    @property
    def total(self) -> int:
        return len(self.samples) if self.windows is None else sum(map(len, self.windows))


class _Prepared(NamedTuple):
    """The pixels of a sample, or of a tile of it with its (top, left); else why it failed, None for missing data.

    `done` counts up to the task's total.
    """

    sample_index: int
    corner: tuple[int, int] | None
    result: Images | Failure | None
    done: int


def _load_or_fill(folder: Path, task: _Task) -> tuple[Images, CacheIndex]:
    folder.mkdir(parents=True, exist_ok=True)
    key = cache_key(task.samples, task.preprocess, task.windows, task.max_no_data)
    cached = load(folder, key, task.samples, task.preprocess)
    if cached is not None:
        if task.progress is not None:
            task.progress(task.total, task.total)
        return cached
    store = DiskStore(folder, key, task.preprocess)
    try:
        return _fill(store, task)
    finally:
        store.discard()


def _fill(store: MemoryStore | DiskStore, task: _Task) -> tuple[Images, CacheIndex]:
    sample_indices: list[int] = []
    corners: list[tuple[int, int]] = []
    failures: list[Failure] = []
    digest = hashlib.sha256()
    for item in _prepare_images(task) if task.windows is None else _prepare_tiles(task, task.windows):
        if isinstance(item.result, Failure):
            failures.append(item.result)
        elif item.result is not None:
            store.add(item.result)
            sample_indices.append(item.sample_index)
            if item.corner is not None:
                corners.append(item.corner)
            digest_image(digest, task.samples[item.sample_index].name, item.result)
        if task.progress is not None:
            task.progress(item.done, task.total)
    if not sample_indices:
        reasons = "".join(f"\n  {failure.reason}" for failure in failures[:3]) or "\n  no tile is free of missing data"
        raise DataError(
            f"none of the {len(task.samples)} images can be used; repair or replace them. The first:{reasons}"
        )
    index = CacheIndex(sample_indices, corners, failures, digest.hexdigest())
    return store.finish(index), index


def _prepare_images(task: _Task) -> Iterator[_Prepared]:
    """Images in the order of the samples, with no more than a few decoded ahead."""

    def work(sample: Sample) -> Images | Failure:
        try:
            return task.preprocess.apply(decode(sample.image, name=sample.name), name=sample.name)
        except ImageError as error:
            return Failure(sample.name, str(error))

    results = in_order(work, task.samples, workers=task.workers, ahead=2 * task.workers)
    return (_Prepared(index, None, result, index + 1) for index, result in enumerate(results))


def _prepare_tiles(task: _Task, windows: Windows) -> Iterator[_Prepared]:
    """Tiles in the order of the samples, one at a time; of a scene that fails midway the tiles before are kept."""
    done = 0
    for index, (sample, sample_windows) in enumerate(zip(task.samples, windows, strict=True)):
        end = done + len(sample_windows)
        try:
            with open_scene(sample) as scene:
                for window in sample_windows:
                    done += 1
                    pixels = filled_pixels(scene.read(window), task.max_no_data)
                    tile = None if pixels is None else task.preprocess.apply(pixels, name=sample.name)
                    yield _Prepared(index, (window.top, window.left), tile, done)
        except ImageError as error:
            done = end
            yield _Prepared(index, None, Failure(sample.name, str(error)), done)
