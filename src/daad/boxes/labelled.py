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

from daad.boxes.nms import to_model
from daad.boxes.options import BoxPlan
from daad.boxes.predicting import MAX_NO_DATA
from daad.boxes.tiles import MOST, cut, drawn_windows, held
from daad.data.box_set import BoxSample
from daad.data.cache import CachedImages, cache_images
from daad.data.preprocess import Preprocess
from daad.data.sample import Failure, Sample
from daad.data.splits import hold_out
from daad.data.tiles import Tiling, Window
from daad.detector.options import RunOptions
from daad.detector.selection import Readable, read_headers
from daad.runtime.progress import Progress

MOST_OFTEN = 8
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """Prepared images or tiles (N, H, W, C) with their boxes in pixels of the prepared ones and their classes; `rows`
    are to learn from. The rest is held out; where tiles are learnt, whole images are, as `whole`. `seen` are the
    classes of the labelled boxes that are learnt from, each once."""

    preprocess: Preprocess
    cached: CachedImages
    boxes: list[Floats]
    labels: list[Ints]
    rows: Ints
    whole: list[BoxSample]
    seen: Ints
    failures: list[Failure]
    notes: list[str]

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
    found, own_of = _readable(samples, None)
    preprocess = Preprocess.for_images([header for _, header in found.good], plan.size())
    cached = _cached([sample for sample, _ in found.good], preprocess, None, options, report)
    own = [own_of[id(sample)] for sample in cached.samples]
    boxes = [each.boxes * to_model(each.size, preprocess) for each in own]
    labels = [each.labels for each in own]
    learnt, _ = hold_out(cached.samples, plan.holdout, plan.seed)
    chosen = {id(sample) for sample in learnt}
    rows = np.flatnonzero([id(sample) in chosen for sample in cached.samples])
    seen = np.concatenate([labels[row] for row in rows])
    return Labelled(preprocess, cached, boxes, labels, rows, [], seen, [*found.failures, *cached.failures], [])


def _tiles(
    samples: Sequence[BoxSample], tiling: Tiling, plan: BoxPlan, options: RunOptions, report: Progress
) -> Labelled:
    found, own_of = _readable(samples, tiling)
    preprocess = Preprocess.for_images([header for _, header in found.good], plan.size(), tiles=tiling)
    learnt, whole = hold_out([sample for sample, _ in found.good], plan.holdout, plan.seed)
    own = [own_of[id(sample)] for sample in learnt]
    windows = drawn_windows(
        [each.size for each in own], [each.boxes for each in own], tiling, plan.seed, _bytes_of(preprocess)
    )
    cached = _cached(learnt, preprocess, windows, options, report)
    factor = to_model((tiling.height, tiling.width), preprocess)
    boxes, labels = [], []
    kept: dict[int, list[Window]] = {}
    for plain, (top, left) in zip(cached.samples, cached.corners, strict=True):
        each, window = own_of[id(plain)], Window(top, left, tiling.height, tiling.width)
        kept.setdefault(id(plain), []).append(window)
        shown, classes = cut(each.boxes, each.labels, window)
        boxes.append(shown * factor)
        labels.append(classes)
    seen = [own_of[id(s)].labels[held(own_of[id(s)].boxes, kept.get(id(s), []))] for s in learnt]
    return Labelled(
        preprocess,
        cached,
        boxes,
        labels,
        np.arange(len(boxes)),
        [own_of[id(sample)] for sample in whole],
        np.concatenate(seen),
        [*found.failures, *cached.failures],
        _lost(own, seen, len(boxes)),
    )


def _readable(samples: Sequence[BoxSample], tiling: Tiling | None) -> tuple[Readable, dict[int, BoxSample]]:
    """Those whose header can be read, and what belongs to each, by its identity."""
    plain = [Sample(sample.image, sample.name) for sample in samples]
    return read_headers(plain, tiling), {id(one): own for one, own in zip(plain, samples, strict=True)}


def _lost(own: list[BoxSample], seen: list[Ints], tiles: int) -> list[str]:
    """A note where tiles are too few, or hold too many gaps, for all boxes."""
    total, there = sum(len(each.labels) for each in own), sum(map(len, seen))
    if there == total:
        return []
    return [
        f"{total - there} of {total} boxes lie in none of the {tiles} tiles that are learnt (at most {MOST:,}, or 1 "
        "GiB; none that is mostly without data): smaller tiles, or a smaller --image-size, leave room for more"
    ]


def _cached(
    samples: list[Sample],
    preprocess: Preprocess,
    windows: list[list[Window]] | None,
    options: RunOptions,
    report: Progress,
) -> CachedImages:
    return cache_images(
        samples,
        preprocess,
        options.cache_folder,
        windows=windows,
        max_no_data=MAX_NO_DATA,
        progress=lambda done, total: report("read", done, total),
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
