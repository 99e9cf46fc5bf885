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
from daad.detector.detector import with_path
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
KEPT_COLUMNS = ("path", "label", "group", "audit_rank")  # the last tells our manifest from a user's own
NORMAL_SPREAD = 1.4826  # of a normal distribution, in units of its median absolute deviation
FAR = 1000  # standard deviations, beyond which a number says no more
NORMAL_MEAN = 1.2533  # and of its mean absolute deviation
SAME = 1e-6  # of the mean distance from the median: scores that differ by less are one but for rounding


@dataclass(frozen=True)
class PoolRow:
    """An image of the pool: its rank (1 is the most suspect), raw score, its distance from the median score in
    standard deviations, whether it is among the suspect share, and its group of near-duplicates.

    The score is that of an image which was not learnt from, as far as the model can tell (`unseen_scores`). The
    standard deviation is that of the median distance, or where more than half of the scores are equal of the mean.
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
        return f"over +{FAR:,} sd" if self.deviations > FAR else f"{round(self.deviations, 1) + 0.0:+.1f} sd"


@dataclass(frozen=True)
class Audit:
    """A ranked pool, most suspect first; `samples` in the same order, and `order` says where each stood among the
    images that could be read. `map_threshold` is what the highest value of an anomaly map exceeds in the suspect share
    of the images."""

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
        """Rank a pool of images that should all be good by how unlike the rest they are.

        The model learns from all of them, without labels, and scores the same ones. Model `daad` looks for odd places
        in images, `mcod` for images that are odd as a whole.

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
        return audit_pool(data, AuditPlan.make(**plan, settings=settings), RunOptions.make(**with_path(run)), progress)

    @property
    def kept(self) -> Iterator[tuple[PoolRow, Sample]]:
        """What is not suspect, by name."""
        both = [(row, sample) for row, sample in zip(self.rows, self.samples, strict=True) if not row.suspect]
        return iter(sorted(both, key=lambda item: item[0].name))

    @property
    def ties(self) -> int:
        """How many images have the score at which the suspects end, where not all of those are suspect and they are
        more than one in a hundred; else 0."""
        last = min(row.score for row in self.rows if row.suspect)
        apart = np.abs([row.score - self.rows[len(self.rows) // 2].score for row in self.rows])
        tied = [row.suspect for row in self.rows if abs(row.score - last) <= SAME * apart.mean()]
        return 0 if all(tied) or 100 * len(tied) <= len(self.rows) else len(tied)

    def write_csv(self, path: str | Path) -> None:
        """All rows, and the images that could not be read, with the reason."""
        with Path(path).open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.DictWriter(file, [*PoolRow.__dataclass_fields__, "error"])
            writer.writeheader()
            writer.writerows(asdict(row) for row in self.rows)
            writer.writerows({"name": failure.name, "error": failure.reason} for failure in self.failures)

    def write_kept(self, path: str | Path) -> int:
        """A manifest of what is not suspect, for `daad fit`; gives the number of its images.

        Near-duplicates share a group, so that a fit never trains on one and calibrates on another; but a group of more
        than half of the images is none, for nothing could be held out. Raises DataError where an image has no path;
        and, when the manifest is written, for images whose names are not UTF-8 and cannot stand in it.
        """
        place, kept = Path(path), list(self.kept)
        sizes = Counter(row.group for row, _ in kept)
        content, unlisted = io.StringIO(), []
        writer = csv.DictWriter(content, KEPT_COLUMNS)
        writer.writeheader()
        for row, sample in kept:
            if not isinstance(sample.image, Path):
                raise DataError(f"{row.name}: has no path, and a manifest lists paths; audit a folder or a manifest")
            at = relative(sample.image, place.parent)
            if printable(at) != at:
                unlisted.append(row.name)
                continue
            group = sample.group or (f"near-duplicates {row.group}" if 1 < sizes[row.group] <= len(kept) / 2 else "")
            writer.writerow({"path": at, "label": "good", "group": group, "audit_rank": row.rank})
        write_atomically(place, content.getvalue().encode())
        if unlisted:
            raise DataError(
                f"{place}: written without {len(unlisted)} images whose names are not UTF-8, such as {unlisted[0]}; "
                "rename them and audit again"
            )
        return len(kept)


def relative(path: Path, folder: Path) -> str:
    """The way from a folder to a file, past links among the folders; with a mark in front where a manifest's reader
    would strip a space."""
    at = Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve())).as_posix()
    return at if at == at.strip() else f"./{at}"


def is_own_manifest(path: Path) -> bool:
    """Whether a file that exists may be written over: it begins like one by `write_kept`, or is empty."""
    with path.open("rb") as file:
        return file.readline(100).rstrip() in (b"", ",".join(KEPT_COLUMNS).encode())


def audit_pool(data: Any, plan: AuditPlan, options: RunOptions, progress: Progress | None = None) -> Audit:
    """Rank a pool; see `Audit.of` for the arguments and errors."""
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
    middle = np.median(scores)
    apart = np.abs(scores - middle)
    spread = NORMAL_SPREAD * np.median(apart)
    if spread <= SAME * apart.mean():
        spread = NORMAL_MEAN * apart.mean()
    deviations = (scores - middle) / spread if spread > 0 else np.zeros_like(scores)
    return [
        PoolRow(
            rank=place + 1,
            name=names[i],
            score=float(scores[i]),
            deviations=float(deviations[i]),
            suspect=place < suspects,
            group=int(groups[i]),
            group_size=int(sizes[groups[i]]),
        )
        for place, i in enumerate(order.tolist())
    ]
