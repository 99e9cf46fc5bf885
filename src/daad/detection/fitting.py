"""How a detector of boxes comes about: most labelled images train it, the held-out rest sets its threshold.

BoxSet -> Preprocess -> cache -> hold out -> ranges and anchors -> train -> find on held-out -> Confidence -> Fitted
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from daad.data.boxes import BoxSample, BoxSet
from daad.data.cache import CachedImages, cache_images
from daad.data.cache_store import digest_image
from daad.data.decode import probe
from daad.data.preprocess import Preprocess
from daad.data.sample import Sample
from daad.data.splits import hold_out
from daad.detection.batches import BoxBatches
from daad.detection.finding import LOWEST, boxes_of
from daad.detection.plan import BoxPlan
from daad.detection.scod import MOST_CLASSES, NAME, SCOD
from daad.detector.circumstances import circumstances
from daad.detector.learning import repeatable
from daad.detector.plan import Progress, RunOptions, silent
from daad.errors import DataError
from daad.metrics.boxes import Boxes, right_at
from daad.scoring.confidence import Confidence
from daad.training.loop import RunFolder, TrainingSummary, train_on

Floats = npt.NDArray[np.float64]
BATCH = 32


@dataclass(frozen=True)
class Labelled:
    """Prepared images (N, H, W, C) with their boxes in pixels of the prepared image and their classes."""

    cached: CachedImages
    boxes: list[Floats]
    labels: list[npt.NDArray[np.int64]]
    preprocess: Preprocess


@dataclass(frozen=True)
class Fitted:
    """The parts of a detector of boxes."""

    model: SCOD
    preprocess: Preprocess
    confidence: Confidence
    provenance: dict[str, Any]


def fit(data: BoxSet, plan: BoxPlan, options: RunOptions, progress: Progress | None = None) -> Fitted:
    """Learn a detector from images with boxes; see `BoxDetector.fit` for the arguments and errors."""
    report = progress or silent
    plan.check()
    if not any(len(sample.boxes) for sample in data.samples):
        first = f"; {data.notes[0]}" if data.notes else ""
        raise DataError(f"none of the {len(data.samples)} images has a box; there is nothing to learn from{first}")
    if len(data.classes) > MOST_CLASSES:
        raise DataError(f"found {len(data.classes)} classes, and at most {MOST_CLASSES} can be learnt; merge some")
    images = prepare(data.samples, plan, options, report)
    training, held_out = _split(images, plan)
    model = _fresh(images, data.classes, plan, training)
    summary = _train(model, images, training, plan, options, report)
    confidence = _confidence(model, images, held_out, report)
    return Fitted(
        model.requires_grad_(False),
        images.preprocess,
        confidence,
        _provenance(plan, data, images, training, held_out, summary),
    )


def prepare(samples: Sequence[BoxSample], plan: BoxPlan, options: RunOptions, report: Progress) -> Labelled:
    """Decode and resize every image once, and move its boxes along."""
    plain = [Sample(sample.image, sample.name) for sample in samples]
    preprocess = Preprocess.for_images([probe(sample) for sample in plain], plan.size())
    folder = options.folder / "cache" if options.folder and options.cache else None
    cached = cache_images(plain, preprocess, folder, progress=lambda done, total: report("read", done, total))
    labelled = {id(sample): own for sample, own in zip(plain, samples, strict=True)}
    own = [labelled[id(sample)] for sample in cached.samples]
    boxes = [each.boxes * to_model(each.size, preprocess) for each in own]
    return Labelled(cached, boxes, [each.labels for each in own], preprocess)


def to_model(size: tuple[int, int], preprocess: Preprocess) -> Floats:
    """What the corners of a box are multiplied by to go from an image of `size` (height, width) to the model's."""
    height, width = size
    return np.array([preprocess.width / width, preprocess.height / height] * 2)


def _split(images: Labelled, plan: BoxPlan) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows to learn from, and rows held out."""
    learnt, _ = hold_out(images.cached.samples, plan.holdout, plan.seed)
    chosen = {id(sample) for sample in learnt}
    mine = np.array([id(sample) in chosen for sample in images.cached.samples])
    return np.flatnonzero(mine), np.flatnonzero(~mine)


def _fresh(images: Labelled, classes: tuple[str, ...], plan: BoxPlan, rows: npt.NDArray[np.int64]) -> SCOD:
    corners = np.concatenate([images.boxes[row] for row in rows])
    if not len(corners):
        raise DataError(
            f"no image with boxes is left to learn from: the others are held out or cannot be read "
            f"({len(images.cached.failures)}); label more images"
        )
    p = images.preprocess
    config = plan.config(p.height, p.width, p.channels, classes, corners[:, 2:] - corners[:, :2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return SCOD(config)


def _train(
    model: SCOD,
    images: Labelled,
    rows: npt.NDArray[np.int64],
    plan: BoxPlan,
    options: RunOptions,
    report: Progress,
) -> TrainingSummary:
    def batches(device: torch.device) -> BoxBatches:
        return BoxBatches(images.cached.images, images.boxes, images.labels, device, rows)

    run = None
    if options.folder is not None:
        identity = _identity(model, images, rows, plan)
        run = RunFolder(options.folder, identity, options.checkpoint_every, options.resume)
    with repeatable(plan.seed):
        summary = train_on(
            model,
            batches,
            seed=plan.seed,
            accelerator=plan.accelerator,
            precision=plan.precision,
            run=run,
            progress=lambda done, total: report("train", done, total),
        )
    model.to("cpu")
    return summary


def _confidence(model: SCOD, images: Labelled, rows: npt.NDArray[np.int64], report: Progress) -> Confidence:
    scores, right = [np.empty(0)], [np.empty(0, bool)]
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        judged = boxes_of(model, images.preprocess, np.asarray(images.cached.images[part]), LOWEST)
        for row, found in zip(part, judged, strict=True):
            labels = images.labels[row]
            true = Boxes(images.boxes[row], labels, np.ones(len(labels)))
            scores.append(found.scores)
            right.append(right_at(found, true))
        report("calibrate", min(start + BATCH, len(rows)), len(rows))
    boxes = sum(len(images.labels[row]) for row in rows)
    return Confidence.from_found(np.concatenate(scores), np.concatenate(right), images=len(rows), boxes=boxes)


def pixel_digest(image: npt.NDArray[Any]) -> str:
    """16 hexadecimal digits of a prepared image's pixels."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()[:16]


def _fingerprint(images: Labelled, rows: npt.NDArray[np.int64]) -> str:
    """The sha256 of names, pixels, boxes and classes."""
    digest = hashlib.sha256()
    for row in rows:
        digest_image(digest, images.cached.samples[row].name, images.cached.images[row])
        digest.update(images.boxes[row].tobytes())
        digest.update(images.labels[row].tobytes())
    return digest.hexdigest()


def _identity(model: SCOD, images: Labelled, rows: npt.NDArray[np.int64], plan: BoxPlan) -> str:
    """A hash of all that decides the weights: only a run with the same one may go on from a checkpoint."""
    parts = [model.config.model_dump(mode="json"), images.preprocess.model_dump(mode="json"), plan.seed]
    return hashlib.sha256(json.dumps([NAME, *parts, plan.precision, _fingerprint(images, rows)]).encode()).hexdigest()


def _provenance(
    plan: BoxPlan,
    data: BoxSet,
    images: Labelled,
    training: npt.NDArray[np.int64],
    held_out: npt.NDArray[np.int64],
    summary: TrainingSummary,
) -> dict[str, Any]:
    failures, counts = [*data.failures, *images.cached.failures], _counts(images, training, data.classes)
    none = [name for name, count in counts.items() if not count]
    corners = np.concatenate([sample.boxes for sample in data.samples])
    scales = np.sqrt((corners[:, 2:] - corners[:, :2]).prod(axis=1))
    return {
        **circumstances(),
        "seed": plan.seed,
        "preset": plan.preset,
        "settings": plan.settings,
        "images": {"fit": len(training), "held_out": len(held_out), "unreadable": len(failures)},
        "boxes": counts,
        "usual_boxes": _usual(data),
        "thirds": np.quantile(scales, (1 / 3, 2 / 3)).tolist(),  # of sqrt(width height) in pixels of the images
        "data_fingerprint": {"fit": _fingerprint(images, training), "held_out": _fingerprint(images, held_out)},
        "learnt_images": [pixel_digest(images.cached.images[row]) for row in (*training, *held_out)],
        "left_out": [asdict(failure) for failure in failures],
        "notes": [*data.notes, *([f"no box of these classes is learnt: {', '.join(none)}"] if none else [])],
        "training": asdict(summary),
    }


def _counts(images: Labelled, rows: npt.NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, int]:
    """How many boxes of each class were learnt from."""
    labels = np.concatenate([images.labels[row] for row in rows])
    return {name: int((labels == place).sum()) for place, name in enumerate(classes)}


def _usual(data: BoxSet) -> dict[str, Any]:
    """The mean box of every class, in shares of the image, and the share of images that show the class: what a detector
    that looks at no image would say."""
    found = {}
    for place, name in enumerate(data.classes):
        own = [sample for sample in data.samples if (sample.labels == place).any()]
        if own:
            boxes = [s.boxes[s.labels == place] / ([s.size[1], s.size[0]] * 2) for s in own]
            found[name] = {"box": np.concatenate(boxes).mean(axis=0).tolist(), "share": len(own) / len(data.samples)}
    return found
