"""How a detector of boxes comes about: most labelled images train it, the held-out rest sets its threshold.

BoxSet -> Labelled -> ranges and anchors -> train -> find on held-out -> Confidence -> Fitted
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
from daad.boxes.labelled import Labelled, file_digest, prepare
from daad.boxes.nms import boxes_of
from daad.boxes.options import BoxPlan
from daad.boxes.predicting import judge
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
BATCH = 32


@dataclass(frozen=True)
class Fitted:
    """The parts of a detector of boxes."""

    model: SCOD
    preprocess: Preprocess
    confidence: Confidence
    reference: BoxReference
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
    model = _fresh(images, data.classes, plan)
    summary = _train(model, images, plan, options, report)
    confidence, failures = _confidence(model, images, report)
    provenance = _provenance(plan, data, images, summary, [*data.failures, *images.failures, *failures])
    reference = _reference(data, images)
    return Fitted(model.requires_grad_(False), images.preprocess, confidence, reference, provenance)


def _fresh(images: Labelled, classes: tuple[str, ...], plan: BoxPlan) -> SCOD:
    corners = np.concatenate([images.boxes[row] for row in images.rows])
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


def _train(model: SCOD, images: Labelled, plan: BoxPlan, options: RunOptions, report: Progress) -> TrainingSummary:
    def batches(device: torch.device) -> BoxBatches:
        return BoxBatches(images.cached.images, images.boxes, images.labels, device, images.lots)

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


def _confidence(model: SCOD, images: Labelled, report: Progress) -> tuple[Confidence, list[Failure]]:
    """From what is found in the held-out images, as any new image will be judged; and those that cannot be."""
    scores, right, boxes, failures = [np.empty(0)], [np.empty(0, bool)], 0, []
    total = len(images.whole) if images.preprocess.tiles else len(images.held_out)
    judged = _held_out_tiles(model, images) if images.preprocess.tiles else _held_out(model, images)
    for done, (found, true) in enumerate(judged, start=1):
        if isinstance(found, Failure):
            failures.append(found)
        else:
            scores.append(found.scores)
            right.append(true_positives_at(found, true))
            boxes += len(true.labels)
        report("calibrate", done, total)
    everything = np.concatenate(scores), np.concatenate(right)
    return Confidence.from_found(*everything, images=total - len(failures), boxes=boxes), failures


def _held_out(model: SCOD, images: Labelled) -> Iterator[tuple[Boxes, Boxes]]:
    """The found and the true boxes of each held-out image, in pixels of the prepared one."""
    for start in range(0, len(images.held_out), BATCH):
        part = images.held_out[start : start + BATCH]
        judged = boxes_of(model, images.preprocess, np.asarray(images.cached.images[part]))
        for row, found in zip(part, judged, strict=True):
            yield found, truth(images.boxes[row], images.labels[row])


def _held_out_tiles(model: SCOD, images: Labelled) -> Iterator[tuple[Boxes | Failure, Boxes]]:
    """The same of images that are judged by tiles, in their own pixels."""
    plain = [Sample(sample.image, sample.name) for sample in images.whole]
    for sample, item in zip(images.whole, judge(model, images.preprocess, plain), strict=True):
        found = item.boxes if item.error is None else Failure(sample.name, item.error)
        yield found, truth(sample.boxes, sample.labels)


def _fingerprint(images: Labelled, rows: Ints) -> str:
    """The sha256 of names, pixels, boxes and classes."""
    digest = hashlib.sha256()
    for row in rows:
        digest_image(digest, images.cached.samples[row].name, images.cached.images[row])
        digest.update(images.boxes[row].tobytes())
        digest.update(images.labels[row].tobytes())
    return digest.hexdigest()


def _identity(model: SCOD, images: Labelled, plan: BoxPlan) -> str:
    """A hash of all that decides the weights: only a run with the same one may go on from a checkpoint."""
    parts = [model.config.model_dump(mode="json"), images.preprocess.model_dump(mode="json"), plan.seed]
    text = json.dumps([NAME, *parts, plan.precision, _fingerprint(images, images.rows)])
    return hashlib.sha256(text.encode()).hexdigest()


def _provenance(
    plan: BoxPlan, data: BoxSet, images: Labelled, summary: TrainingSummary, failures: list[Failure]
) -> dict[str, Any]:
    counts = {name: int((images.seen == place).sum()) for place, name in enumerate(data.classes)}
    none = [name for name, count in counts.items() if not count]
    corners = np.concatenate([sample.boxes for sample in data.samples])
    sizes = corners[:, 2:] - corners[:, :2]
    notes = [*data.notes, *([f"no box of these classes is learnt: {', '.join(none)}"] if none else [])]
    return {
        **made_here(),
        "seed": plan.seed,
        "preset": plan.preset,
        "settings": plan.settings,
        **_amounts(images, failures),
        "boxes": counts,
        "data_fingerprint": {
            "fit": _fingerprint(images, images.rows),
            "held_out": _fingerprint(images, images.held_out) if not images.whole else _files(images.whole),
        },
        "left_out": [asdict(failure) for failure in failures],
        "notes": [*notes, *images.notes, *_cut_notes(images.preprocess.tiles, sizes)],
        "training": asdict(summary),
    }


def _amounts(images: Labelled, failures: list[Failure]) -> dict[str, Any]:
    """How many images took part, and tiles of them."""
    fit, held_out = len(images.rows), len(images.held_out) + len(images.whole)
    if images.preprocess.tiles is None:
        return {"images": {"fit": fit, "held_out": held_out, "unreadable": len(failures)}}
    learnt = len({sample.name for sample in images.cached.samples})
    return {"images": {"fit": learnt, "held_out": held_out, "unreadable": len(failures)}, "tiles": fit}


def _files(samples: list[BoxSample]) -> str:
    """The sha256 of names, files, boxes and classes."""
    parts = [
        [sample.name, file_digest(sample.image), sample.boxes.tolist(), sample.labels.tolist()] for sample in samples
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _cut_notes(tiling: Tiling | None, sizes: Floats) -> list[str]:
    """Notes where boxes (N, 2) are too large for the tiles, or for what these share."""
    if tiling is None:
        return []
    down, across = tiling.step
    shared = tiling.width - across, tiling.height - down
    pieces = (sizes > [tiling.width, tiling.height]).any(axis=1)
    cut = int(((sizes > shared).any(axis=1) & ~pieces).sum())
    found = []
    if pieces.any():
        found.append(
            f"{int(pieces.sum())} of {len(sizes)} boxes are larger than a tile, and such ones are found in pieces: "
            "take larger tiles (--tile)"
        )
    if cut:
        found.append(
            f"{cut} of {len(sizes)} boxes are larger than the {shared[0]}x{shared[1]} pixels that tiles share, and "
            "such ones may be seen cut: larger tiles (--tile) or more --overlap help"
        )
    return found


def _reference(data: BoxSet, images: Labelled) -> BoxReference:
    """What evaluations hold the detector against."""
    corners = np.concatenate([sample.boxes for sample in data.samples])
    first, second = np.quantile(np.sqrt((corners[:, 2:] - corners[:, :2]).prod(axis=1)), (1 / 3, 2 / 3)).tolist()
    return BoxReference(size_thirds=(first, second), mean_boxes=_mean_boxes(data), learnt_images=tuple(images.digests))


def _mean_boxes(data: BoxSet) -> dict[str, MeanBox]:
    found = {}
    for place, name in enumerate(data.classes):
        own = [sample for sample in data.samples if (sample.labels == place).any()]
        if own:
            boxes = [s.boxes[s.labels == place] / ([s.size[1], s.size[0]] * 2) for s in own]
            box = np.concatenate(boxes).mean(axis=0).tolist()
            found[name] = MeanBox(box=tuple(box), share=len(own) / len(data.samples))
    return found
