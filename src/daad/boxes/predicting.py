"""The boxes of images, untiled or by tiles: one code path for fitting, predicting and evaluating.

untiled: decode -> Preprocess -> batches -> boxes -> pixels of the image
tiles: strips of tiles -> Preprocess -> boxes -> those the tile is responsible for -> pixels of the image -> suppression
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from daad.boxes.geometry import suppress_by_class
from daad.boxes.nms import LOWEST_SCORE, detect, scale_to_model, scaled
from daad.boxes.scod import SCOD
from daad.boxes.tiles import tile_shares
from daad.data.preprocess import Preprocess
from daad.data.sample import Sample
from daad.data.scenes import open_scene
from daad.data.strips import read_strips
from daad.errors import ImageError
from daad.metrics.box_quality import Boxes
from daad.runtime.stream import Prepared, batched, prepared

BATCH_SIZE = 16
MOST_BOXES = 10_000  # of an image that is judged by tiles
MAX_NO_DATA = 0.95  # share of a tile; with more of it the tile is skipped
MIN_DATA = 0.5  # share of a box that must be data
NO_BOXES = Boxes(np.empty((0, 4)), np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True, slots=True)
class ImageBoxes:
    """The detected boxes of an image.

    Args:
        sample: the image.
        size: its (height, width) in pixels.
        boxes: in pixels of the image, the highest score first.
        prepared: the image as the network gets it; None where it gets tiles.
        error: why the image could not be judged; None where it was.
    """

    sample: Sample
    size: tuple[int, int] = (0, 0)
    boxes: Boxes = NO_BOXES
    prepared: npt.NDArray[Any] | None = None
    error: str | None = None


def predict_boxes(
    model: SCOD,
    preprocess: Preprocess,
    samples: Iterable[Sample],
    min_score: float = LOWEST_SCORE,
    *,
    batch_size: int = BATCH_SIZE,
    workers: int = 2,
) -> Iterator[ImageBoxes]:
    """Detect the boxes of each image, in order; an image that cannot be read is recorded, not raised.

    Args:
        model: the network.
        preprocess: what an image goes through before; with `tiles` an image may be far larger than memory.
        samples: the images.
        min_score: leave out boxes of a lower score.
        batch_size: images in one pass of the network; of no effect with tiles.
        workers: threads that decode images; of no effect with tiles.
    """
    if preprocess.tiles is not None:
        return (_predict_by_tiles(model, preprocess, sample, min_score) for sample in samples)
    stream = prepared(samples, preprocess, ahead=2 * batch_size, workers=workers)
    return (
        image for batch in batched(stream, batch_size) for image in _predict_batch(model, preprocess, batch, min_score)
    )


def _predict_batch(
    model: SCOD, preprocess: Preprocess, batch: list[Prepared], min_score: float
) -> Iterator[ImageBoxes]:
    images = [item.image for item in batch if item.image is not None]
    detected = iter(detect(model, preprocess, np.stack(images), min_score) if images else [])
    for item in batch:
        if item.image is None:
            yield ImageBoxes(item.sample, error=item.error)
        else:
            boxes = scaled(next(detected), 1 / scale_to_model(item.shape, preprocess))
            yield ImageBoxes(item.sample, item.shape, boxes, item.image)


def _predict_by_tiles(model: SCOD, preprocess: Preprocess, sample: Sample, min_score: float) -> ImageBoxes:
    """A tile nearly all of which is without data is skipped. In others the nearest pixels fill the gaps, and boxes that
    lie mostly in gaps are dropped."""
    tiling = preprocess.tiles
    assert tiling is not None
    to_image = 1 / scale_to_model((tiling.height, tiling.width), preprocess)
    image_boxes, judged = NO_BOXES, 0
    try:
        with open_scene(sample) as scene:
            size = scene.info.height, scene.info.width
            tops, lefts = tiling.grid(*size, sample.name)
            row_shares, column_shares = tile_shares(tops, tiling.height), tile_shares(lefts, tiling.width)
            for strip in read_strips(scene, tiling, preprocess, max_no_data=MAX_NO_DATA):
                judged += len(strip.chosen)
                detected = detect(model, preprocess, strip.tiles, min_score) if strip.chosen else []
                for index, tile_boxes in zip(strip.chosen, detected, strict=True):
                    top, left = strip.top, strip.lefts[index]
                    boxes = scaled(tile_boxes, to_image)
                    boxes = boxes.select(_on_data(boxes.corners, strip.valid_of(index, tiling)))
                    boxes = boxes._replace(corners=boxes.corners + np.array([left, top, left, top]))
                    x0, y0, x1, y1 = boxes.corners.T
                    responsible = column_shares[left].responsible_for(x0, x1) & row_shares[top].responsible_for(y0, y1)
                    image_boxes = _merged(image_boxes, boxes.select(responsible))
        if not judged:
            raise ImageError(f"{sample.name}: hardly any of it is data, so it cannot be judged")
    except ImageError as error:
        return ImageBoxes(sample, error=str(error))
    corners, labels, scores = (torch.from_numpy(column) for column in image_boxes)
    kept = suppress_by_class(corners, scores, labels, model.config.nms_iou)
    return ImageBoxes(sample, size, image_boxes.select(kept.numpy()))


def _merged(boxes: Boxes, more: Boxes) -> Boxes:
    """Both together, the highest score first, at most MOST_BOXES."""
    return Boxes(*(np.concatenate(pair) for pair in zip(boxes, more, strict=True))).top(MOST_BOXES)


def _on_data(corners: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
    """Which boxes (N, 4), in pixels of a tile, lie mostly on data; `valid` (h, w) is None where all pixels are."""
    if valid is None:
        return np.ones(len(corners), dtype=bool)
    low, high = np.floor(corners[:, :2]).astype(int), np.ceil(corners[:, 2:]).astype(int)
    shares = [valid[y0:y1, x0:x1].mean() for (x0, y0), (x1, y1) in zip(low, high, strict=True)]
    return np.array(shares) >= MIN_DATA
