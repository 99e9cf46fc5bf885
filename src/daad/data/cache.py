"""Decode every image once: preprocessed pixels in one memory-mapped file, reused while nothing changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from daad.data.cache_store import Disk, Images, Kept, Memory, cache_key, digest_image, load
from daad.data.decode import decode
from daad.data.no_data import whole
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

    Where tiles were cut, each is an image, `samples` holds its image's sample again and again, and `corners` its
    (top, left). `fingerprint` is the sha256 of all names and pixels, in order: the provenance of what was learned.
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
    """Decode and preprocess each sample once, in `workers` threads, to `folder`/images.npy or, without one, to memory.

    With `windows`, a list a sample, these tiles of it are prepared in its place, but those of which
    more than the share `max_no_data` are borders and holes without data. An
    image that cannot be used becomes a Failure and is left out. A cache of the same files (path, size, time of change),
    the same `preprocess` and `windows` is reused without decoding; a damaged one is rebuilt. `progress(done, total)` is
    called after each image. Raises DataError if there is no usable image or the folder cannot be written.
    """
    if not samples:
        raise DataError("no images to prepare; give at least one")
    job = _Job(samples, preprocess, windows, max_no_data, progress, max(1, workers))
    if folder is None:
        images, kept = _fill(Memory(job.total, preprocess), job)
    else:
        try:
            images, kept = _on_disk(Path(folder), job)
        except OSError as error:
            raise DataError(f"{folder}: the image cache cannot be kept there ({error}); give another folder") from error
    return CachedImages(
        images, [samples[place] for place in kept.places], kept.failures, kept.fingerprint, kept.corners
    )


@dataclass(frozen=True)
class _Job:
    """What is to be prepared, and how."""

    samples: Sequence[Sample]
    preprocess: Preprocess
    windows: Windows | None
    max_no_data: float
    progress: Progress | None
    workers: int

    @property
    def total(self) -> int:
        return len(self.samples) if self.windows is None else sum(map(len, self.windows))


class _Item(NamedTuple):
    """The place of a sample, of a tile its corner, and what became of it; `done` counts up to the job's total."""

    place: int
    corner: tuple[int, int] | None
    result: Images | Failure | None
    done: int


def _on_disk(folder: Path, job: _Job) -> tuple[Images, Kept]:
    folder.mkdir(parents=True, exist_ok=True)
    key = cache_key(job.samples, job.preprocess, job.windows, job.max_no_data)
    found = load(folder, key, job.samples, job.preprocess)
    if found is not None:
        if job.progress is not None:
            job.progress(job.total, job.total)
        return found
    disk = Disk(folder, key, job.preprocess)
    try:
        return _fill(disk, job)
    finally:
        disk.discard()


def _fill(store: Memory | Disk, job: _Job) -> tuple[Images, Kept]:
    places: list[int] = []
    corners: list[tuple[int, int]] = []
    failures: list[Failure] = []
    digest = hashlib.sha256()
    for item in _decoded(job) if job.windows is None else _cut(job, job.windows):
        if isinstance(item.result, Failure):
            failures.append(item.result)
        elif item.result is not None:
            store.add(item.result)
            places.append(item.place)
            if item.corner is not None:
                corners.append(item.corner)
            digest_image(digest, job.samples[item.place].name, item.result)
        if job.progress is not None:
            job.progress(item.done, job.total)
    if not places:
        reasons = "".join(f"\n  {failure.reason}" for failure in failures[:3]) or "\n  no tile is free of missing data"
        raise DataError(
            f"none of the {len(job.samples)} images can be used; repair or replace them. The first:{reasons}"
        )
    kept = Kept(places, corners, failures, digest.hexdigest())
    return store.finish(kept), kept


def _decoded(job: _Job) -> Iterator[_Item]:
    """Results in the order of the samples, with no more than a few images in flight."""

    def work(sample: Sample) -> Images | Failure:
        try:
            return job.preprocess.apply(decode(sample.image, name=sample.name), name=sample.name)
        except ImageError as error:
            return Failure(sample.name, str(error))

    results = in_order(work, job.samples, workers=job.workers, ahead=2 * job.workers)
    return (_Item(place, None, result, place + 1) for place, result in enumerate(results))


def _cut(job: _Job, windows: Windows) -> Iterator[_Item]:
    """Tiles in the order of the samples, one at a time; a scene that breaks off keeps the tiles before."""
    done = 0
    for place, (sample, wanted) in enumerate(zip(job.samples, windows, strict=True)):
        end = done + len(wanted)
        try:
            with open_scene(sample) as scene:
                for window in wanted:
                    done += 1
                    patch = scene.read(window)
                    pixels = whole(patch, job.max_no_data)
                    tile = None if pixels is None else job.preprocess.apply(pixels, name=sample.name)
                    yield _Item(place, (window.top, window.left), tile, done)
        except ImageError as error:
            done = end
            yield _Item(place, None, Failure(sample.name, str(error)), done)
