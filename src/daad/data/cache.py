"""Decode every image once: preprocessed pixels in one memory-mapped file, reused while nothing changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from daad.data.ahead import in_order
from daad.data.cache_store import Disk, Images, Kept, Memory, cache_key, digest_image, load
from daad.data.decode import decode
from daad.data.preprocess import Preprocess
from daad.data.sample import Failure, Sample
from daad.errors import DataError, ImageError

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class CachedImages:
    """Preprocessed images (N, H, W, C), read-only, with the samples they belong to and those left out.

    `fingerprint` is the sha256 of all names and pixels, in order: the provenance of what was learned.
    """

    images: Images
    samples: list[Sample]
    failures: list[Failure]
    fingerprint: str


def cache_images(
    samples: Sequence[Sample],
    preprocess: Preprocess,
    folder: Path | None,
    *,
    progress: Progress | None = None,
    workers: int = 2,
) -> CachedImages:
    """Decode and preprocess each sample once, in `workers` threads, to `folder`/images.npy or, without one, to memory.

    An image that cannot be used becomes a Failure and is left out. A cache of the same files (path, size, time of
    change) and the same `preprocess` is reused without decoding; a damaged one is rebuilt. `progress(done, total)` is
    called after each image. Raises DataError if there is no usable image or the folder cannot be written.
    """
    if not samples:
        raise DataError("no images to prepare; give at least one")
    if folder is None:
        images, kept = _fill(Memory(len(samples), preprocess), samples, preprocess, progress, workers)
    else:
        try:
            images, kept = _on_disk(Path(folder), samples, preprocess, progress, workers)
        except OSError as error:
            raise DataError(f"{folder}: the image cache cannot be kept there ({error}); give another folder") from error
    places, failures, fingerprint = kept
    return CachedImages(images, [samples[place] for place in places], failures, fingerprint)


def _on_disk(
    folder: Path, samples: Sequence[Sample], preprocess: Preprocess, progress: Progress | None, workers: int
) -> tuple[Images, Kept]:
    folder.mkdir(parents=True, exist_ok=True)
    key = cache_key(samples, preprocess)
    found = load(folder, key, samples, preprocess)
    if found is not None:
        if progress is not None:
            progress(len(samples), len(samples))
        return found
    disk = Disk(folder, key, preprocess)
    try:
        return _fill(disk, samples, preprocess, progress, workers)
    finally:
        disk.discard()


def _fill(
    store: Memory | Disk, samples: Sequence[Sample], preprocess: Preprocess, progress: Progress | None, workers: int
) -> tuple[Images, Kept]:
    places: list[int] = []
    failures: list[Failure] = []
    digest = hashlib.sha256()
    for place, result in enumerate(_decoded(samples, preprocess, max(1, workers))):
        if isinstance(result, Failure):
            failures.append(result)
        else:
            store.add(result)
            places.append(place)
            digest_image(digest, samples[place].name, result)
        if progress is not None:
            progress(place + 1, len(samples))
    if not places:
        reasons = "".join(f"\n  {failure.reason}" for failure in failures[:3])
        raise DataError(f"none of the {len(samples)} images can be used; repair or replace them. The first:{reasons}")
    kept = places, failures, digest.hexdigest()
    return store.finish(kept), kept


def _decoded(samples: Sequence[Sample], preprocess: Preprocess, workers: int) -> Iterator[Images | Failure]:
    """Results in the order of the samples, with no more than a few images in flight."""

    def work(sample: Sample) -> Images | Failure:
        try:
            return preprocess.apply(decode(sample.image, name=sample.name), name=sample.name)
        except ImageError as error:
            return Failure(sample.name, str(error))

    return in_order(work, samples, workers=workers, ahead=2 * workers)
