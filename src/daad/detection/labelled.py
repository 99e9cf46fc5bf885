"""Labelled images as a detector of boxes learns from them: prepared once, whole or as tiles, their boxes moved along.

whole: read all -> hold some out; tiles: hold whole images out -> draw tiles of the others -> cut their boxes
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from daad.data.boxes import BoxSample
from daad.data.cache import CachedImages, cache_images
from daad.data.decode import probe
from daad.data.preprocess import Preprocess
from daad.data.sample import Failure, Sample
from daad.data.scenes import probe_scene
from daad.data.splits import hold_out
from daad.data.tiles import Tiling, Window
from daad.detection.finding import to_model
from daad.detection.plan import BoxPlan
from daad.detection.tiles import cut, drawn_windows
from daad.detector.plan import Progress, RunOptions
from daad.errors import DataError, ImageError

MOST_OFTEN = 8
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """Prepared images or tiles (N, H, W, C) with their boxes in pixels of the prepared ones and their classes; `rows`
    are to learn from. The rest is held out; where tiles are learnt, whole images are, as `whole`."""

    preprocess: Preprocess
    cached: CachedImages
    boxes: list[Floats]
    labels: list[Ints]
    rows: Ints
    whole: list[BoxSample]
    failures: list[Failure]

    @property
    def held_out(self) -> Ints:
        """The rows that are not learnt from."""
        return np.setdiff1d(np.arange(len(self.boxes)), self.rows)

    @property
    def lots(self) -> Ints:
        """The rows as they are drawn: those with boxes so often that they are about half, at most MOST_OFTEN times, for
        a detector that sees hardly any box learns to see none."""
        shown = np.array([len(self.boxes[row]) > 0 for row in self.rows], dtype=bool)
        often = round(float((~shown).sum() / max(1, shown.sum())))
        return np.repeat(self.rows, np.where(shown, min(max(often, 1), MOST_OFTEN), 1))

    @property
    def digests(self) -> list[str]:
        """What tells each image that took part in the fit again: see `evaluate`."""
        if self.preprocess.tiles is None:
            return [pixel_digest(image) for image in self.cached.images]
        files = [sample.image for sample in self.cached.samples if isinstance(sample.image, Path)]
        return [file_digest(file) for file in dict.fromkeys([*files, *(sample.image for sample in self.whole)])]


def prepare(samples: Sequence[BoxSample], plan: BoxPlan, options: RunOptions, report: Progress) -> Labelled:
    """Decode and resize every image once, and move its boxes along. Raises DataError."""
    tiling = plan.tiling(np.concatenate([sample.boxes for sample in samples]))
    return _whole(samples, plan, options, report) if tiling is None else _tiles(samples, tiling, plan, options, report)


def _whole(samples: Sequence[BoxSample], plan: BoxPlan, options: RunOptions, report: Progress) -> Labelled:
    plain = [Sample(sample.image, sample.name) for sample in samples]
    preprocess = Preprocess.for_images([probe(sample) for sample in plain], plan.size())
    cached = _cached(plain, preprocess, None, options, report)
    labelled = {id(sample): own for sample, own in zip(plain, samples, strict=True)}
    own = [labelled[id(sample)] for sample in cached.samples]
    boxes = [each.boxes * to_model(each.size, preprocess) for each in own]
    learnt, _ = hold_out(cached.samples, plan.holdout, plan.seed)
    chosen = {id(sample) for sample in learnt}
    rows = np.flatnonzero([id(sample) in chosen for sample in cached.samples])
    return Labelled(preprocess, cached, boxes, [each.labels for each in own], rows, [], cached.failures)


def _tiles(
    samples: Sequence[BoxSample], tiling: Tiling, plan: BoxPlan, options: RunOptions, report: Progress
) -> Labelled:
    good: list[tuple[Sample, BoxSample]] = []
    infos, failures = [], []
    for sample in samples:
        try:
            info = probe_scene(Sample(sample.image, sample.name))
            tiling.grid(info.height, info.width, sample.name)
        except ImageError as error:
            failures.append(Failure(sample.name, str(error)))
        else:
            good.append((Sample(sample.image, sample.name), sample))
            infos.append(info)
    if not good:
        raise DataError(f"none of the {len(samples)} images can be used; the first: {failures[0].reason}")
    preprocess = Preprocess.for_images(infos, plan.size(), tiles=tiling)
    labelled = {id(plain): sample for plain, sample in good}
    learnt, whole = hold_out([plain for plain, _ in good], plan.holdout, plan.seed)
    own = [labelled[id(sample)] for sample in learnt]
    windows = drawn_windows(
        [each.size for each in own], [each.boxes for each in own], tiling, plan.seed, _bytes_of(preprocess)
    )
    cached = _cached(learnt, preprocess, windows, options, report)
    factor = to_model((tiling.height, tiling.width), preprocess)
    boxes, labels = [], []
    for plain, (top, left) in zip(cached.samples, cached.corners, strict=True):
        each = labelled[id(plain)]
        found, classes = cut(each.boxes, each.labels, Window(top, left, tiling.height, tiling.width))
        boxes.append(found * factor)
        labels.append(classes)
    return Labelled(
        preprocess,
        cached,
        boxes,
        labels,
        np.arange(len(boxes)),
        [labelled[id(sample)] for sample in whole],
        [*failures, *cached.failures],
    )


def _cached(
    samples: list[Sample],
    preprocess: Preprocess,
    windows: list[list[Window]] | None,
    options: RunOptions,
    report: Progress,
) -> CachedImages:
    folder = options.folder / "cache" if options.folder and options.cache else None
    return cache_images(
        samples, preprocess, folder, windows=windows, progress=lambda done, total: report("read", done, total)
    )


def _bytes_of(preprocess: Preprocess) -> int:
    return preprocess.height * preprocess.width * preprocess.channels * (2 if preprocess.dtype == "uint16" else 1)


def pixel_digest(image: npt.NDArray[Any]) -> str:
    """16 hexadecimal digits of a prepared image's pixels."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """16 hexadecimal digits of a file, of which tiles alone were prepared; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError:
        return ""
