"""Fitting a detector of boxes: most labelled images train it, the held-out rest sets its threshold.

BoxSet -> PreparedImages -> ranges and anchors -> train -> detect on held-out -> Confidence -> FittedBoxes
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from daad.boxes.batches import BoxBatches
from daad.boxes.labelled import PreparedImages, file_digest, prepare
from daad.boxes.nms import detect
from daad.boxes.options import BoxPlan
from daad.boxes.predicting import predict_boxes
from daad.boxes.scod import MOST_CLASSES, NAME, SCOD
from daad.data.box_set import BoxSample, BoxSet
from daad.data.cache_store import digest_image
from daad.data.preprocess import Preprocess
from daad.data.sample import Failure, Sample
from daad.data.tiles import Tiling
from daad.detector.learning import repeatable
from daad.detector.options import RunOptions
from daad.detector.provenance import made_here
from daad.errors import DataError
from daad.metrics.box_quality import Boxes, true_positives_at, truth
from daad.runtime.progress import Progress, silent
from daad.scoring.box_reference import BoxReference, MeanBox
from daad.scoring.confidence import Confidence
from daad.training.loop import RunFolder, TrainingSummary, train_on

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BATCH_SIZE = 32  # held-out images in one pass of the network


@dataclass(frozen=True)
class FittedBoxes:
    """The parts of a detector of boxes."""

    model: SCOD
    preprocess: Preprocess
    confidence: Confidence
    reference: BoxReference
    provenance: dict[str, Any]


def fit(data: BoxSet, plan: BoxPlan, options: RunOptions, progress: Progress | None = None) -> FittedBoxes:
    """Learn a detector from labelled images.

    Args:
        data: the labelled images.
        plan: what decides the fit, apart from the images.
        options: cache, checkpoints and where they go.
        progress: called with (phase, done, total) as work goes on.

    Raises:
        DataError, ConfigError, TrainingError, ArtifactError: as in `BoxDetector.fit`.
    """
    report = progress or silent
    plan.check()
    if not any(len(sample.boxes) for sample in data.samples):
        first = f"; {data.notes[0]}" if data.notes else ""
        raise DataError(f"none of the {len(data.samples)} images has a box; there is nothing to learn from{first}")
    if len(data.classes) > MOST_CLASSES:
        raise DataError(f"found {len(data.classes)} classes, and at most {MOST_CLASSES} can be learnt; merge some")
    images = prepare(data.samples, plan, options, report)
    model = _new_model(images, data.classes, plan)
    summary = _train(model, images, plan, options, report)
    confidence, failures = _confidence(model, images, report)
    provenance = _provenance(plan, data, images, summary, [*data.failures, *images.failures, *failures])
    reference = _reference(data, images)
    return FittedBoxes(model.requires_grad_(False), images.preprocess, confidence, reference, provenance)


def _new_model(images: PreparedImages, classes: tuple[str, ...], plan: BoxPlan) -> SCOD:
    corners = np.concatenate([images.boxes[row] for row in images.train_rows])
    if not len(corners):
        raise DataError(
            f"no image with boxes is left to learn from: the others are held out or cannot be read "
            f"({len(images.failures)}); label more images"
        )
    p = images.preprocess
    config = plan.config(p.height, p.width, p.channels, classes, corners[:, 2:] - corners[:, :2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return SCOD(config)


def _train(
    model: SCOD, images: PreparedImages, plan: BoxPlan, options: RunOptions, report: Progress
) -> TrainingSummary:
    def batches(device: torch.device) -> BoxBatches:
        return BoxBatches(images.cached.images, images.boxes, images.labels, device, images.balanced_rows)

    run = None
    if options.run is not None:
        identity = _identity(model, images, plan)
        run = RunFolder(options.run, identity, options.checkpoint_every, options.resume)
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


def _confidence(model: SCOD, images: PreparedImages, report: Progress) -> tuple[Confidence, list[Failure]]:
    """The threshold from the boxes detected in the held-out images; and the images that cannot be judged."""
    scores, right, boxes, failures = [np.empty(0)], [np.empty(0, bool)], 0, []
    tiled = images.preprocess.tiles
    total = len(images.held_out_images) if tiled else len(images.held_out_rows)
    pairs = _detected_by_tiles(model, images) if tiled else _detected_untiled(model, images)
    for done, (detected, true) in enumerate(pairs, start=1):
        if isinstance(detected, Failure):
            failures.append(detected)
        else:
            scores.append(detected.scores)
            right.append(true_positives_at(detected, true))
            boxes += len(true.labels)
        report("calibrate", done, total)
    columns = np.concatenate(scores), np.concatenate(right)
    return Confidence.from_found(*columns, images=total - len(failures), boxes=boxes), failures


def _detected_untiled(model: SCOD, images: PreparedImages) -> Iterator[tuple[Boxes, Boxes]]:
    """The detected and the true boxes of each held-out image, in pixels of the prepared image."""
    for start in range(0, len(images.held_out_rows), BATCH_SIZE):
        rows = images.held_out_rows[start : start + BATCH_SIZE]
        batch = detect(model, images.preprocess, np.asarray(images.cached.images[rows]))
        for row, detected in zip(rows, batch, strict=True):
            yield detected, truth(images.boxes[row], images.labels[row])


def _detected_by_tiles(model: SCOD, images: PreparedImages) -> Iterator[tuple[Boxes | Failure, Boxes]]:
    """The detected and the true boxes of each held-out image, in pixels of the image as given."""
    unlabelled = [Sample(sample.image, sample.name) for sample in images.held_out_images]
    predicted = predict_boxes(model, images.preprocess, unlabelled)
    for sample, image in zip(images.held_out_images, predicted, strict=True):
        detected = image.boxes if image.error is None else Failure(sample.name, image.error)
        yield detected, truth(sample.boxes, sample.labels)


def _fingerprint(images: PreparedImages, rows: Ints) -> str:
    """The sha256 of names, pixels, boxes and classes."""
    digest = hashlib.sha256()
    for row in rows:
        digest_image(digest, images.cached.samples[row].name, images.cached.images[row])
        digest.update(images.boxes[row].tobytes())
        digest.update(images.labels[row].tobytes())
    return digest.hexdigest()


def _identity(model: SCOD, images: PreparedImages, plan: BoxPlan) -> str:
    """A hash of all that decides the weights: only a run with the same one may go on from a checkpoint."""
    parts = [model.config.model_dump(mode="json"), images.preprocess.model_dump(mode="json"), plan.seed]
    text = json.dumps([NAME, *parts, plan.precision, _fingerprint(images, images.train_rows)])
    return hashlib.sha256(text.encode()).hexdigest()


def _provenance(
    plan: BoxPlan, data: BoxSet, images: PreparedImages, summary: TrainingSummary, failures: list[Failure]
) -> dict[str, Any]:
    counts = {name: int((images.train_labels == label).sum()) for label, name in enumerate(data.classes)}
    absent = [name for name, count in counts.items() if not count]
    corners = np.concatenate([sample.boxes for sample in data.samples])
    sizes = corners[:, 2:] - corners[:, :2]
    notes = [*data.notes, *([f"no box of these classes is learnt: {', '.join(absent)}"] if absent else [])]
    return {
        **made_here(),
        "seed": plan.seed,
        "preset": plan.preset,
        "settings": plan.settings,
        **_counts(images, failures),
        "boxes": counts,
        "data_fingerprint": {
            "fit": _fingerprint(images, images.train_rows),
            "held_out": _file_fingerprint(images.held_out_images)
            if images.held_out_images
            else _fingerprint(images, images.held_out_rows),
        },
        "left_out": [asdict(failure) for failure in failures],
        "notes": [*notes, *images.notes, *_cut_notes(images.preprocess.tiles, sizes)],
        "training": asdict(summary),
    }


def _counts(images: PreparedImages, failures: list[Failure]) -> dict[str, Any]:
    """How many images took part, and tiles of them."""
    train, held_out = len(images.train_rows), len(images.held_out_rows) + len(images.held_out_images)
    if images.preprocess.tiles is None:
        return {"images": {"fit": train, "held_out": held_out, "unreadable": len(failures)}}
    train_images = len({sample.name for sample in images.cached.samples})
    return {"images": {"fit": train_images, "held_out": held_out, "unreadable": len(failures)}, "tiles": train}


def _file_fingerprint(samples: list[BoxSample]) -> str:
    """The sha256 of names, files, boxes and classes."""
    parts = [
        [sample.name, file_digest(sample.image), sample.boxes.tolist(), sample.labels.tolist()] for sample in samples
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _cut_notes(tiling: Tiling | None, sizes: Floats) -> list[str]:
    """Notes where boxes of these sizes (N, 2) are larger than a tile, or than the overlap of tiles."""
    if tiling is None:
        return []
    down, across = tiling.step
    overlap = tiling.width - across, tiling.height - down
    pieces = (sizes > [tiling.width, tiling.height]).any(axis=1)
    cut = int(((sizes > overlap).any(axis=1) & ~pieces).sum())
    notes = []
    if pieces.any():
        notes.append(
            f"{int(pieces.sum())} of {len(sizes)} boxes are larger than a tile, and such ones are found in pieces: "
            "take larger tiles (--tile)"
        )
    if cut:
        notes.append(
            f"{cut} of {len(sizes)} boxes are larger than the {overlap[0]}x{overlap[1]} pixels that tiles share, and "
            "such ones may be seen cut: larger tiles (--tile) or more --overlap help"
        )
    return notes


def _reference(data: BoxSet, images: PreparedImages) -> BoxReference:
    """What evaluations compare the detector with."""
    corners = np.concatenate([sample.boxes for sample in data.samples])
    first, second = np.quantile(np.sqrt((corners[:, 2:] - corners[:, :2]).prod(axis=1)), (1 / 3, 2 / 3)).tolist()
    return BoxReference(size_thirds=(first, second), mean_boxes=_mean_boxes(data), learnt_images=tuple(images.digests))


def _mean_boxes(data: BoxSet) -> dict[str, MeanBox]:
    mean_boxes = {}
    for label, name in enumerate(data.classes):
        samples = [sample for sample in data.samples if (sample.labels == label).any()]
        if samples:
            boxes = [s.boxes[s.labels == label] / ([s.size[1], s.size[0]] * 2) for s in samples]
            box = np.concatenate(boxes).mean(axis=0).tolist()
            mean_boxes[name] = MeanBox(box=tuple(box), share=len(samples) / len(data.samples))
    return mean_boxes
