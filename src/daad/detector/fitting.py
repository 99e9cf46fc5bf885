"""How a detector comes about: good images in; part trains the model, the held-out rest calibrates it.

layout -> probe -> Preprocess -> hold out -> cache both -> train -> score held-out -> Calibration -> Fitted
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, get_args

import torch

from daad.artifact.build import build, preset_settings
from daad.data.arrays import ImageInfo
from daad.data.cache import CachedImages, cache_images
from daad.data.decode import probe
from daad.data.layouts import read_layout
from daad.data.preprocess import Preprocess, to_float
from daad.data.sample import Failure, Sample
from daad.data.splits import hold_out
from daad.detector.scorer import score_all
from daad.errors import ConfigError, DataError, ImageError
from daad.models.base import AnomalyModel, preset
from daad.models.registry import model_class
from daad.scoring.calibration import Calibration
from daad.training.loop import Precision, RunFolder, TrainingSummary, train

CALIBRATION_BATCH = 16
ACCELERATORS = ("auto", "cpu", "cuda", "mps")


class Progress(Protocol):
    """Called as work goes on: the phase ("read", "train" or "calibrate"), what is done, and of how much."""

    def __call__(self, phase: str, done: int, total: int, /) -> None: ...


@dataclass(frozen=True)
class FitPlan:
    """Everything that decides a fit, but the images. Defaults are those of `daad fit`."""

    model: str = "daad+"
    preset: str = "small"
    image_size: int | tuple[int, int] | None = None
    seed: int = 0
    false_alarm_rate: float = 0.05
    holdout: float = 0.2
    precision: Precision = "auto"
    accelerator: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def size(self) -> int | tuple[int, int]:
        """The short side, or (height, width), that images are brought to."""
        return self.image_size or preset(model_class(self.model), self.preset).image_size

    def all_settings(self) -> dict[str, Any]:
        """Every setting of the model but the image's shape: the config's defaults, the preset's, the user's."""
        fields = model_class(self.model).Config.model_fields
        defaults = {name: field.default for name, field in fields.items() if not field.is_required()}
        return {**defaults, **preset_settings(self.model, self.preset, self.settings)}

    def check(self) -> None:
        """Refuse what can be refused before any image is read."""
        if not 0 < self.false_alarm_rate < 1:
            raise ConfigError(f"false_alarm_rate must be between 0 and 1, found {self.false_alarm_rate}")
        if not 0 < self.holdout < 1:
            raise ConfigError(f"holdout must be between 0 and 1, found {self.holdout}")
        for name, known in (("precision", get_args(Precision)), ("accelerator", ACCELERATORS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"unknown {name} {getattr(self, name)!r}; known: {', '.join(known)}")
        model_class(self.model).Config.check_known(self.settings)
        preset(model_class(self.model), self.preset)


@dataclass(frozen=True)
class RunOptions:
    """Where a run keeps its cache, checkpoints and log, and whether it goes on from there."""

    folder: Path | None = None
    resume: bool = False
    checkpoint_every: int = 200
    cache: bool = True


@dataclass(frozen=True)
class Fitted:
    """What a fit gives: the parts of a detector."""

    model: AnomalyModel
    preprocess: Preprocess
    calibration: Calibration
    provenance: dict[str, Any]
    failures: list[Failure]


def fit(data: Any, plan: FitPlan, options: RunOptions, progress: Progress | None = None) -> Fitted:
    """Learn a detector from good images; see `Detector.fit` for the arguments and errors."""
    plan.check()
    report = progress or _silent
    samples, headers, unreadable = _readable(read_layout(data, split="train"))
    preprocess = Preprocess.for_images(headers, plan.size())
    model = _fresh_model(plan, preprocess)  # before any decoding: a setting that does not fit is refused at once
    learn, held_out = _cached_parts(samples, preprocess, plan, options, report)
    with _repeatable(plan.seed):
        summary = _train(model, learn, plan, options, preprocess, report)
    model.to("cpu")  # wherever it was trained, it is calibrated where it will be loaded: a GPU rounds differently
    calibration = _calibrate(model, preprocess, held_out, plan, report)
    failures = [*unreadable, *learn.failures, *held_out.failures]
    provenance = _provenance(plan, learn, held_out, summary, failures)
    return Fitted(model.requires_grad_(False), preprocess, calibration, provenance, failures)


def _readable(samples: list[Sample]) -> tuple[list[Sample], list[ImageInfo], list[Failure]]:
    good, headers, bad = [], [], []
    for sample in samples:
        try:
            headers.append(probe(sample))
        except ImageError as error:
            bad.append(Failure(sample.name, str(error)))
        else:
            good.append(sample)
    if not good:
        raise DataError(f"none of the {len(samples)} images can be read; the first: {bad[0].reason}")
    return good, headers, bad


def _cached_parts(
    samples: list[Sample], preprocess: Preprocess, plan: FitPlan, options: RunOptions, report: Progress
) -> tuple[CachedImages, CachedImages]:
    total = len(samples)

    def cached(name: str, part: list[Sample], before: int) -> CachedImages:
        folder = options.folder / "cache" / name if options.folder and options.cache else None
        return cache_images(part, preprocess, folder, progress=lambda done, _: report("read", before + done, total))

    learn, held_out = hold_out(samples, plan.holdout, plan.seed)
    return cached("fit", learn, 0), cached("calibration", held_out, len(learn))


def _fresh_model(plan: FitPlan, preprocess: Preprocess) -> AnomalyModel:
    settings = preset_settings(plan.model, plan.preset, plan.settings)
    shape = {"height": preprocess.height, "width": preprocess.width, "channels": preprocess.channels}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return build(plan.model, {**settings, **shape})


def _train(
    model: AnomalyModel,
    learn: CachedImages,
    plan: FitPlan,
    options: RunOptions,
    preprocess: Preprocess,
    report: Progress,
) -> TrainingSummary:
    run = None
    if options.folder is not None:
        identity = _identity(model, learn, plan, preprocess)
        run = RunFolder(options.folder, identity, options.checkpoint_every, options.resume)
    return train(
        model,
        learn.images,
        to_float,
        seed=plan.seed,
        accelerator=plan.accelerator,
        precision=plan.precision,
        run=run,
        progress=lambda done, total: report("train", done, total),
    )


def _calibrate(
    model: AnomalyModel, preprocess: Preprocess, held_out: CachedImages, plan: FitPlan, report: Progress
) -> Calibration:
    total = len(held_out.images)

    def batches() -> Iterator[Any]:
        for start in range(0, total, CALIBRATION_BATCH):
            yield held_out.images[start : start + CALIBRATION_BATCH]
            report("calibrate", min(start + CALIBRATION_BATCH, total), total)

    scores, peaks = zip(*score_all(model, preprocess, batches()), strict=True)
    return Calibration.from_normals(scores, peaks, plan.false_alarm_rate)


def _identity(model: AnomalyModel, learn: CachedImages, plan: FitPlan, preprocess: Preprocess) -> str:
    """A hash of all that decides the weights: only a run with the same one may go on from a checkpoint."""
    parts = [plan.model, model.config.model_dump(mode="json"), preprocess.model_dump(mode="json"), plan.seed]
    text = json.dumps([*parts, plan.precision, learn.fingerprint])
    return hashlib.sha256(text.encode()).hexdigest()


def _provenance(
    plan: FitPlan, learn: CachedImages, held_out: CachedImages, summary: TrainingSummary, failures: list[Failure]
) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": plan.seed,
        "preset": plan.preset,
        "settings": dict(plan.settings),
        "images": {"fit": len(learn.images), "calibration": len(held_out.images), "unreadable": len(failures)},
        "data_fingerprint": {"fit": learn.fingerprint, "calibration": held_out.fingerprint},
        "training": asdict(summary),
        "versions": {name: version(name) for name in ("daad", "torch", "numpy", "pillow")},
        "machine": {
            "platform": platform.platform(),
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
            "cpu": torch.backends.cpu.get_cpu_capability(),
        },
    }


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """Seed torch and ask it for deterministic kernels, and leave the caller's state as it was."""
    strict, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=warn_only)


def _silent(phase: str, done: int, total: int, /) -> None:
    """No progress asked for."""
