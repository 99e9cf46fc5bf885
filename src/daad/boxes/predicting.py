"""Images through a detector of boxes, whole or by tiles: the one way, for fitting, predicting and evaluating.

whole: decode -> Preprocess -> batches -> boxes of each -> pixels of the image
tiles: strips of tiles -> Preprocess -> boxes of each -> those it answers for -> pixels of the image -> suppressed again
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from daad.boxes.geometry import suppress_by_class
from daad.boxes.nms import LOWEST, boxes_of, moved, to_model
from daad.boxes.scod import SCOD
from daad.boxes.tiles import parts_of
from daad.data.preprocess import Preprocess
from daad.data.sample import Sample
from daad.data.scenes import open_scene
from daad.data.strips import read_strips
from daad.errors import ImageError
from daad.metrics.box_quality import Boxes
from daad.runtime.stream import Prepared, batched, prepared

BATCH_SIZE = 16
MOST = 10_000  # boxes of an image that is judged by tiles
MAX_NO_DATA = 0.95  # share of a tile
REAL = 0.5  # share of a box that must be data
NONE = Boxes(np.empty((0, 4)), np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True, slots=True)
class Judged:
    """The boxes found in an image of `size` (height, width), in its pixels, the highest score first; or the `error` why
    there are none. `prepared` is the image as the network saw it, None where it saw tiles."""

    sample: Sample
    size: tuple[int, int] = (0, 0)
    boxes: Boxes = NONE
    prepared: npt.NDArray[Any] | None = None
    error: str | None = None


def judge(
    model: SCOD,
    preprocess: Preprocess,
    samples: Iterable[Sample],
    lowest: float = LOWEST,
    *,
    batch_size: int = BATCH_SIZE,
    workers: int = 2,
) -> Iterator[Judged]:
    """Find the boxes of each image from score `lowest` on, in order; one that cannot be read is recorded, not raised.
    With `preprocess.tiles` an image may be far larger than memory."""
    if preprocess.tiles is not None:
        return (_by_tiles(model, preprocess, sample, lowest) for sample in samples)
    stream = prepared(samples, preprocess, ahead=2 * batch_size, workers=workers)
    return (found for batch in batched(stream, batch_size) for found in _whole(model, preprocess, batch, lowest))


def _whole(model: SCOD, preprocess: Preprocess, batch: list[Prepared], lowest: float) -> Iterator[Judged]:
    images = [item.image for item in batch if item.image is not None]
    found = iter(boxes_of(model, preprocess, np.stack(images), lowest) if images else [])
    for item in batch:
        if item.image is None:
            yield Judged(item.sample, error=item.error)
        else:
            boxes = moved(next(found), 1 / to_model(item.shape, preprocess))
            yield Judged(item.sample, item.shape, boxes, item.image)


def _by_tiles(model: SCOD, preprocess: Preprocess, sample: Sample, lowest: float) -> Judged:
    """A tile nearly all of which is without data is not looked at; in others the nearest pixels fill the gaps, and what
    is found in these does not count."""
    tiling = preprocess.tiles
    assert tiling is not None
    to_image = 1 / to_model((tiling.height, tiling.width), preprocess)
    found, looked = NONE, 0
    try:
        with open_scene(sample) as scene:
            size = scene.info.height, scene.info.width
            tops, lefts = tiling.grid(*size, sample.name)
            down, across = parts_of(tops, tiling.height), parts_of(lefts, tiling.width)
            for strip in read_strips(scene, tiling, preprocess, max_no_data=MAX_NO_DATA):
                looked += len(strip.chosen)
                judged = boxes_of(model, preprocess, strip.tiles, lowest) if strip.chosen else []
                for index, boxes in zip(strip.chosen, judged, strict=True):
                    top, left = strip.top, strip.lefts[index]
                    own = moved(boxes, to_image)
                    own = own.select(_on_data(own.corners, strip.valid_of(index, tiling)))
                    own = own._replace(corners=own.corners + np.array([left, top, left, top]))
                    low_x, low_y, high_x, high_y = own.corners.T
                    mine = across[left].answers(low_x, high_x) & down[top].answers(low_y, high_y)
                    found = _both(found, own.select(mine))
        if not looked:
            raise ImageError(f"{sample.name}: hardly any of it is data, so it cannot be judged")
    except ImageError as error:
        return Judged(sample, error=str(error))
    columns = torch.from_numpy(found.corners), torch.from_numpy(found.scores), torch.from_numpy(found.labels)
    kept = suppress_by_class(*columns, model.config.nms_iou)
    return Judged(sample, size, found.select(kept.numpy()))


def _both(found: Boxes, more: Boxes) -> Boxes:
    """Both together, the highest score first, at most MOST."""
    return Boxes(*(np.concatenate(pair) for pair in zip(found, more, strict=True))).top(MOST)


def _on_data(corners: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
    """Which boxes (N, 4), in pixels of a tile, lie on data for the most part."""
    if valid is None:
        return np.ones(len(corners), dtype=bool)
    low, high = np.floor(corners[:, :2]).astype(int), np.ceil(corners[:, 2:]).astype(int)
    shares = [valid[y0:y1, x0:x1].mean() for (x0, y0), (x1, y1) in zip(low, high, strict=True)]
    return np.array(shares) >= REAL
