"""Labelled images prepared for a detector of boxes: decoded once, with their boxes in pixels of the prepared image.

untiled: read all -> hold some out; tiles: hold images out -> sample tiles of the others -> crop their boxes
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from daad.boxes.nms import scale_to_model
from daad.boxes.options import BoxPlan
from daad.boxes.predicting import MAX_NO_DATA
from daad.boxes.tiles import MOST_TILES, centre_in_any, crop_boxes, sample_windows
from daad.data.box_set import BoxSample
from daad.data.cache import CachedImages, cache_images
from daad.data.preprocess import Preprocess
from daad.data.sample import Failure, Sample
from daad.data.splits import hold_out
from daad.data.tiles import Tiling, Window
from daad.detector.options import RunOptions
from daad.detector.selection import Readable, read_headers
from daad.runtime.progress import Progress

MOST_REPEATS = 8  # of an image with boxes in an epoch
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PreparedImages:
    """Prepared images or tiles with their boxes, some held out.

    Args:
        preprocess: what prepared them.
        cached: the prepared images or tiles (N, H, W, C).
        boxes: of each (n, 4), in pixels of the prepared image or tile.
        labels: of each the classes of its boxes (n,).
        train_rows: the rows to train on; the others are held out.
        held_out_images: with tiles, the images held out, none of whose tiles is among the rows.
        train_labels: the classes of the labelled boxes in the training images, each box once.
        failures: the images that cannot be used.
        notes: what a user must know of the boxes.
    """

    preprocess: Preprocess
    cached: CachedImages
    boxes: list[Floats]
    labels: list[Ints]
    train_rows: Ints
    held_out_images: list[BoxSample]
    train_labels: Ints
    failures: list[Failure]
    notes: list[str]

    @property
    def held_out_rows(self) -> Ints:
        """The rows that are not trained on."""
        return np.setdiff1d(np.arange(len(self.boxes)), self.train_rows)

    @property
    def balanced_rows(self) -> Ints:
        """The rows of an epoch: those with boxes are repeated to be about half, at most MOST_REPEATS times each.

        A detector that is shown hardly any box learns to detect none.
        """
        has_boxes = np.array([len(self.boxes[row]) > 0 for row in self.train_rows], dtype=bool)
        repeats = round(float((~has_boxes).sum() / max(1, has_boxes.sum())))
        return np.repeat(self.train_rows, np.where(has_boxes, min(max(repeats, 1), MOST_REPEATS), 1))

    @property
    def digests(self) -> list[str]:
        """Of each image that took part in the fit a digest, by which `evaluate` recognises it."""
        if self.preprocess.tiles is None:
            return [pixel_digest(image) for image in self.cached.images]
        files = [sample.image for sample in self.cached.samples if isinstance(sample.image, Path)]
        return [
            file_digest(file) for file in dict.fromkeys([*files, *(sample.image for sample in self.held_out_images)])
        ]


def prepare(samples: Sequence[BoxSample], plan: BoxPlan, options: RunOptions, report: Progress) -> PreparedImages:
    """Decode and resize every image once, and scale its boxes with it.

    Args:
        samples: the labelled images.
        plan: decides size, tiles and what is held out.
        options: where the prepared images are kept.
        report: called with ("read", done, total).

    Raises:
        DataError: too few images can be used.
    """
    tiling = plan.tiling(np.concatenate([sample.boxes for sample in samples]))
    if tiling is None:
        return _prepare_untiled(samples, plan, options, report)
    return _prepare_tiles(samples, tiling, plan, options, report)


def _prepare_untiled(
    samples: Sequence[BoxSample], plan: BoxPlan, options: RunOptions, report: Progress
) -> PreparedImages:
    readable, labelled_of = _readable(samples, None)
    preprocess = Preprocess.for_images([header for _, header in readable.good], plan.size())
    cached = _cached([sample for sample, _ in readable.good], preprocess, None, options, report)
    labelled = [labelled_of[id(sample)] for sample in cached.samples]
    boxes = [image.boxes * scale_to_model(image.size, preprocess) for image in labelled]
    labels = [image.labels for image in labelled]
    train, _ = hold_out(cached.samples, plan.holdout, plan.seed)
    train_ids = {id(sample) for sample in train}
    rows = np.flatnonzero([id(sample) in train_ids for sample in cached.samples])
    train_labels = np.concatenate([labels[row] for row in rows])
    failures = [*readable.failures, *cached.failures]
    return PreparedImages(preprocess, cached, boxes, labels, rows, [], train_labels, failures, [])


def _prepare_tiles(
    samples: Sequence[BoxSample], tiling: Tiling, plan: BoxPlan, options: RunOptions, report: Progress
) -> PreparedImages:
    readable, labelled_of = _readable(samples, tiling)
    preprocess = Preprocess.for_images([header for _, header in readable.good], plan.size(), tiles=tiling)
    train, held_out = hold_out([sample for sample, _ in readable.good], plan.holdout, plan.seed)
    labelled = [labelled_of[id(sample)] for sample in train]
    windows = sample_windows(
        [image.size for image in labelled],
        [image.boxes for image in labelled],
        tiling,
        plan.seed,
        _tile_bytes(preprocess),
    )
    cached = _cached(train, preprocess, windows, options, report)
    factors = scale_to_model((tiling.height, tiling.width), preprocess)
    boxes, labels = [], []
    windows_of: dict[int, list[Window]] = {}  # those that were prepared
    for sample, (top, left) in zip(cached.samples, cached.corners, strict=True):
        image, window = labelled_of[id(sample)], Window(top, left, tiling.height, tiling.width)
        windows_of.setdefault(id(sample), []).append(window)
        tile_boxes, tile_labels = crop_boxes(image.boxes, image.labels, window)
        boxes.append(tile_boxes * factors)
        labels.append(tile_labels)
    train_labels = [
        labelled_of[id(s)].labels[centre_in_any(labelled_of[id(s)].boxes, windows_of.get(id(s), []))] for s in train
    ]
    return PreparedImages(
        preprocess,
        cached,
        boxes,
        labels,
        np.arange(len(boxes)),
        [labelled_of[id(sample)] for sample in held_out],
        np.concatenate(train_labels),
        [*readable.failures, *cached.failures],
        _missing_boxes_note(labelled, train_labels, len(boxes)),
    )


def _readable(samples: Sequence[BoxSample], tiling: Tiling | None) -> tuple[Readable, dict[int, BoxSample]]:
    """The samples whose header can be read, and the labelled image of each sample, by the sample's `id`."""
    unlabelled = [Sample(sample.image, sample.name) for sample in samples]
    return read_headers(unlabelled, tiling), {id(s): labelled for s, labelled in zip(unlabelled, samples, strict=True)}


def _missing_boxes_note(labelled: list[BoxSample], train_labels: list[Ints], tiles: int) -> list[str]:
    """A note where tiles are too few, or hold too many gaps, for all boxes."""
    total, included = sum(len(image.labels) for image in labelled), sum(map(len, train_labels))
    if included == total:
        return []
    return [
        f"{total - included} of {total} boxes lie in none of the {tiles} tiles that are learnt (at most "
        f"{MOST_TILES:,}, or 1 GiB; none that is mostly without data): smaller tiles, or a smaller --image-size, leave "
        "room for more"
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


def _tile_bytes(preprocess: Preprocess) -> int:
    return preprocess.height * preprocess.width * preprocess.channels * (2 if preprocess.dtype == "uint16" else 1)


def pixel_digest(image: npt.NDArray[Any]) -> str:
    """16 hexadecimal digits of a prepared image's pixels."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """16 hexadecimal digits of a file's content; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError:
        return ""
