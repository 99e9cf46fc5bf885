"""`audit`: which of my good images are not good? Learn from a whole pool, rank the same pool.

layout -> cache -> train on all -> score all -> rank; thumbnails -> groups of near-duplicates; both -> Audit
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from daad.audit.duplicates import duplicate_groups
from daad.audit.options import AuditPlan
from daad.data.cache import CachedImages
from daad.data.preprocess import Preprocess
from daad.data.sample import Failure, Sample, printable
from daad.detector.learning import learn, make_ready, mentioning, subset
from daad.detector.options import RunOptions
from daad.errors import DataError
from daad.files import write_atomically
from daad.models.base import ScoresUnseen
from daad.runtime.engines.torch import TorchScorer
from daad.runtime.progress import Progress, silent
from daad.runtime.scorer import Scorer, score_all
from daad.settings import split, takes

SCORING_BATCH = 32
KEPT_COLUMNS = ("path", "label", "group", "audit_rank")  # by the last our manifest differs from a user's
MAD_TO_SD = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
MEAN_TO_SD = 1.2533  # and over its mean absolute deviation
MOST_DEVIATIONS = 1000  # beyond which the number is not shown
TIE_TOLERANCE = 1e-6  # share of the mean distance from the median: smaller differences of scores are rounding


@dataclass(frozen=True)
class PoolRow:
    """An image of the pool.

    Args:
        rank: 1 is the most suspect.
        name: the image's name.
        score: raw; where the model has `unseen_scores`, as if the image had not been learnt from.
        deviations: distance from the median score in robust standard deviations. They are those of the median
            distance, or of the mean distance where more than half of the scores are equal.
        suspect: whether it is among the suspect share.
        group: number of its group of near-duplicates.
        group_size: images in that group.
    """

    rank: int
    name: str
    score: float
    deviations: float
    suspect: bool
    group: int
    group_size: int

    @property
    def distance(self) -> str:
        """`deviations` in words."""
        return (
            f"over +{MOST_DEVIATIONS:,} sd"
            if self.deviations > MOST_DEVIATIONS
            else f"{round(self.deviations, 1) + 0.0:+.1f} sd"
        )


@dataclass(frozen=True)
class Audit:
    """A ranked pool.

    Args:
        rows: the images, the most suspect first.
        samples: the images in the same order.
        order: of each row the image's index among those that could be read.
        failures: the images that could not be read.
        scorer: gives scores and maps of prepared images.
        preprocess: what an image goes through before.
        map_threshold: the quantile of the maps' highest values that the suspect share of the images exceeds.
        provenance: what it was made from, for people.
    """

    rows: list[PoolRow]
    samples: list[Sample]
    order: list[int]
    failures: list[Failure]
    scorer: Scorer
    preprocess: Preprocess
    map_threshold: float
    provenance: dict[str, Any]

    @classmethod
    @takes(AuditPlan, RunOptions)
    def of(cls, data: Any, *, progress: Progress | None = None, **options: Any) -> Audit:
        """Rank a pool of images that should all be good by anomaly score.

        The model learns from all of them, without labels, and scores the same images. Model `daad` finds local
        anomalies; `mcod` finds images that differ from the others altogether.

        Args:
            data: as in `Detector.fit`.
            progress: called with (phase, done, total) as work goes on.
            {options}
            **settings: those of the model (`daad models NAME`).

        Raises:
            DataError: fewer than two images can be used.
            ConfigError, TrainingError, ArtifactError: as in `Detector.fit`.
        """
        (plan, run), settings = split(options, AuditPlan, RunOptions)
        return audit_pool(data, AuditPlan.make(**plan, settings=settings), RunOptions.make(**run), progress)

    @property
    def kept(self) -> Iterator[tuple[PoolRow, Sample]]:
        """The images that are not suspect, by name."""
        pairs = [(row, sample) for row, sample in zip(self.rows, self.samples, strict=True) if not row.suspect]
        return iter(sorted(pairs, key=lambda pair: pair[0].name))

    @property
    def ties(self) -> int:
        """How many images have the lowest suspect score, where only some of them are suspect; else 0.

        It is 0 too where they are at most one in a hundred.
        """
        last = min(row.score for row in self.rows if row.suspect)
        distances = np.abs([row.score - self.rows[len(self.rows) // 2].score for row in self.rows])
        tied = [row.suspect for row in self.rows if abs(row.score - last) <= TIE_TOLERANCE * distances.mean()]
        return 0 if all(tied) or 100 * len(tied) <= len(self.rows) else len(tied)

    def write_csv(self, path: str | Path) -> None:
        """All rows, and the images that could not be read, with the reason."""
        with Path(path).open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.DictWriter(file, [*PoolRow.__dataclass_fields__, "error"])
            writer.writeheader()
            writer.writerows(asdict(row) for row in self.rows)
            writer.writerows({"name": failure.name, "error": failure.reason} for failure in self.failures)

    def write_kept(self, path: str | Path) -> int:
        """Write a manifest of the images that are not suspect, for `daad fit`.

        Near-duplicates share a group, so that a fit never trains on one and calibrates on another. A group of more than
        half of the images is not written, as nothing could be held out.

        Returns:
            The number of its images.

        Raises:
            DataError: an image has no path. Also, after the manifest is written without them, for names not in UTF-8.
        """
        target, kept = Path(path), list(self.kept)
        sizes = Counter(row.group for row, _ in kept)
        content, unlisted = io.StringIO(), []
        writer = csv.DictWriter(content, KEPT_COLUMNS)
        writer.writeheader()
        for row, sample in kept:
            if not isinstance(sample.image, Path):
                raise DataError(f"{row.name}: has no path, and a manifest lists paths; audit a folder or a manifest")
            listed = relative_path(sample.image, target.parent)
            if printable(listed) != listed:
                unlisted.append(row.name)
                continue
            group = sample.group or (f"near-duplicates {row.group}" if 1 < sizes[row.group] <= len(kept) / 2 else "")
            writer.writerow({"path": listed, "label": "good", "group": group, "audit_rank": row.rank})
        write_atomically(target, content.getvalue().encode())
        if unlisted:
            raise DataError(
                f"{target}: written without {len(unlisted)} images whose names are not UTF-8, such as {unlisted[0]}; "
                "rename them and audit again"
            )
        return len(kept)


def relative_path(path: Path, folder: Path) -> str:
    """The path of a file relative to a folder, with links among the folders resolved.

    It begins with `./` where the reader of a manifest would strip a space.
    """
    relative = Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve())).as_posix()
    return relative if relative == relative.strip() else f"./{relative}"


def is_own_manifest(path: Path) -> bool:
    """Whether a file may be written over: it has the header of `write_kept`, or is empty."""
    with path.open("rb") as file:
        return file.readline(100).rstrip() in (b"", ",".join(KEPT_COLUMNS).encode())


def audit_pool(data: Any, plan: AuditPlan, options: RunOptions, progress: Progress | None = None) -> Audit:
    """Rank a pool.

    Args:
        data: as in `Detector.fit`.
        plan: what decides the audit, apart from the images.
        options: cache, checkpoints and where they go.
        progress: called with (phase, done, total) as work goes on.

    Raises:
        DataError, ConfigError, TrainingError, ArtifactError: as in `Audit.of`.
    """
    report = progress or silent
    ready = make_ready(data, plan, options, report)
    cached = ready.cached
    if len(cached.samples) < 2:
        raise DataError(f"found one usable image, {cached.samples[0].name}; an audit compares images, give more")
    images = subset(cached, np.arange(len(cached.samples)))
    with mentioning(ready.failures):
        summary = learn(ready.model, images, plan, options, ready.preprocess, report)
    model = ready.model.requires_grad_(False).eval()
    scorer = TorchScorer(model, model.config.model_dump(mode="json"))
    scores, peaks = map(np.array, zip(*score_all(scorer, _batches(cached, report)), strict=True))
    if isinstance(model, ScoresUnseen):
        scores = model.unseen_scores(torch.from_numpy(scores)).numpy()
    groups = duplicate_groups(cached.images)
    order = np.lexsort((np.arange(len(scores)), -scores))
    provenance = {
        "model": plan.model,
        "preset": plan.preset,
        "contamination": plan.contamination,
        "seed": plan.seed,
        "images": len(scores),
        "size": [ready.preprocess.height, ready.preprocess.width],
        "data_fingerprint": images.fingerprint,
        "config": model.config.model_dump(mode="json"),
        "training": asdict(summary),
    }
    rows = _rows([sample.name for sample in cached.samples], scores, groups, order, plan.contamination)
    samples = [cached.samples[i] for i in order]
    map_threshold = float(np.quantile(peaks, 1 - plan.contamination))
    return Audit(rows, samples, order.tolist(), ready.failures, scorer, ready.preprocess, map_threshold, provenance)


def _batches(cached: CachedImages, report: Progress) -> Iterator[Any]:
    total = len(cached.samples)
    for start in range(0, total, SCORING_BATCH):
        yield np.asarray(cached.images[start : start + SCORING_BATCH])
        report("rank", min(start + SCORING_BATCH, total), total)


def _rows(
    names: list[str],
    scores: npt.NDArray[np.float64],
    groups: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    contamination: float,
) -> list[PoolRow]:
    suspects = min(round(contamination * len(scores)) or 1, len(scores) - 1)
    sizes = np.bincount(groups)
    median = np.median(scores)
    distances = np.abs(scores - median)
    deviation = MAD_TO_SD * np.median(distances)
    if deviation <= TIE_TOLERANCE * distances.mean():
        deviation = MEAN_TO_SD * distances.mean()
    deviations = (scores - median) / deviation if deviation > 0 else np.zeros_like(scores)
    return [
        PoolRow(
            rank=rank,
            name=names[i],
            score=float(scores[i]),
            deviations=float(deviations[i]),
            suspect=rank <= suspects,
            group=int(groups[i]),
            group_size=int(sizes[groups[i]]),
        )
        for rank, i in enumerate(order.tolist(), start=1)
    ]
