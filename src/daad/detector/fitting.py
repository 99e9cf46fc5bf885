"""How a detector comes about: good images in; part trains the model, the held-out rest calibrates it.

layout -> probe -> Preprocess -> cache -> hold out -> train -> score held-out -> Calibration -> Fitted
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from daad.artifact.build import preset_settings
from daad.data.arrays import ImageInfo
from daad.data.cache import CachedImages, cache_images
from daad.data.cache_store import digest_image
from daad.data.decode import probe
from daad.data.layouts import read_layout
from daad.data.preprocess import Preprocess, to_float
from daad.data.sample import Failure, Sample
from daad.data.splits import hold_out
from daad.detector.scorer import score_all
from daad.errors import ConfigError, DataError, ImageError
from daad.models.base import AnomalyModel, ModelConfig, preset
from daad.models.registry import model_class
from daad.scoring.calibration import Calibration
from daad.settings import Settings
from daad.training.loop import Precision, RunFolder, TrainingSummary, train

CALIBRATION_BATCH = 16
SHAPE = ("height", "width", "channels")


Ints = npt.NDArray[Any]


class Progress(Protocol):
    """Called as work goes on: the phase ("read", "train" or "calibrate"), what is done, and of how much."""

    def __call__(self, phase: str, done: int, total: int, /) -> None: ...


class FitPlan(Settings):
    """Everything that decides a fit, but the images. Defaults are those of `daad fit`."""

    model: str = "daad"
    preset: str = "small"
    image_size: int | tuple[int, int] | None = None
    seed: int = Field(0, ge=0, lt=2**63)
    false_alarm_rate: float = Field(0.05, gt=0, lt=1)
    holdout: float = Field(0.2, gt=0, lt=1)
    precision: Precision = "auto"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    settings: dict[str, Any] = Field(default_factory=dict)

    def size(self) -> int | tuple[int, int]:
        """The short side, or (height, width), that images are brought to."""
        return preset(model_class(self.model), self.preset).image_size if self.image_size is None else self.image_size

    def all_settings(self) -> dict[str, Any]:
        """Every setting of the model but the image's shape: the config's defaults, the preset's, the user's."""
        fields = model_class(self.model).Config.model_fields
        defaults = {name: field.default for name, field in fields.items() if not field.is_required()}
        return {**defaults, **preset_settings(self.model, self.preset, self.settings)}

    def size_multiple(self) -> int:
        """What the long side of images is rounded to a multiple of."""
        return model_class(self.model).size_multiple(preset_settings(self.model, self.preset, self.settings))

    def config(self, height: int, width: int, channels: int) -> ModelConfig:
        """The model's config for images of this shape."""
        settings = preset_settings(self.model, self.preset, self.settings)
        return model_class(self.model).Config.make(**settings, height=height, width=width, channels=channels)

    def check(self) -> None:
        """Refuse what can be refused before any image is read."""
        preset(model_class(self.model), self.preset)
        model_class(self.model).Config.check_known(self.settings)
        for name in SHAPE:
            if name in self.settings:
                raise ConfigError(f"{name} follows from the images; set image_size, or convert the images")
        missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
        if missing.get(self.accelerator, False):
            raise ConfigError(f"accelerator {self.accelerator!r} is not there on this machine; use auto or cpu")


class RunOptions(Settings):
    """Where a run keeps its cache, checkpoints and log, and whether it goes on from there."""

    folder: Path | None = None
    resume: bool = False
    checkpoint_every: int = Field(200, ge=1)
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
    preprocess = Preprocess.for_images(headers, plan.size(), plan.size_multiple())
    model = _fresh_model(plan, preprocess)  # before any decoding: a setting that does not fit is refused at once
    folder = options.folder / "cache" if options.folder and options.cache else None
    cached = cache_images(samples, preprocess, folder, progress=lambda done, total: report("read", done, total))
    learn, held_out = _split(cached, plan)
    with _repeatable(plan.seed):
        summary = _train(model, learn, plan, options, preprocess, report)
    model.to("cpu")  # wherever it was trained, it is calibrated where it will be loaded: a GPU rounds differently
    calibration = _calibrate(model, preprocess, held_out, plan, report)
    failures = [*unreadable, *cached.failures]
    provenance = _provenance(plan, model, learn, held_out, summary, failures)
    return Fitted(model.requires_grad_(False), preprocess, calibration, provenance, failures)


@dataclass(frozen=True)
class Part:
    """Some of the cached images: `images[rows]`, with a fingerprint of their names and pixels."""

    images: Ints
    rows: npt.NDArray[np.int64]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.rows)


def _split(cached: CachedImages, plan: FitPlan) -> tuple[Part, Part]:
    """Hold out after decoding, so that an image which turns out unreadable costs neither part anything."""
    learn, _ = hold_out(cached.samples, plan.holdout, plan.seed)
    names = {sample.name for sample in learn}
    is_learn = np.array([sample.name in names for sample in cached.samples])
    return _part(cached, np.flatnonzero(is_learn)), _part(cached, np.flatnonzero(~is_learn))


def _part(cached: CachedImages, rows: npt.NDArray[np.int64]) -> Part:
    digest = hashlib.sha256()
    for row in rows:
        digest_image(digest, cached.samples[row].name, cached.images[row])
    return Part(cached.images, rows, digest.hexdigest())


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


def _fresh_model(plan: FitPlan, preprocess: Preprocess) -> AnomalyModel:
    config = plan.config(preprocess.height, preprocess.width, preprocess.channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return model_class(plan.model)(config)


def _train(
    model: AnomalyModel,
    learn: Part,
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
        rows=learn.rows,
        seed=plan.seed,
        accelerator=plan.accelerator,
        precision=plan.precision,
        run=run,
        progress=lambda done, total: report("train", done, total),
    )


def _calibrate(
    model: AnomalyModel, preprocess: Preprocess, held_out: Part, plan: FitPlan, report: Progress
) -> Calibration:
    total = len(held_out)

    def batches() -> Iterator[Any]:
        for start in range(0, total, CALIBRATION_BATCH):
            yield held_out.images[held_out.rows[start : start + CALIBRATION_BATCH]]
            report("calibrate", min(start + CALIBRATION_BATCH, total), total)

    scores, peaks = zip(*score_all(model, preprocess, batches()), strict=True)
    return Calibration.from_normals(scores, peaks, plan.false_alarm_rate)


def _identity(model: AnomalyModel, learn: Part, plan: FitPlan, preprocess: Preprocess) -> str:
    """A hash of all that decides the weights: only a run with the same one may go on from a checkpoint."""
    parts = [plan.model, model.config.model_dump(mode="json"), preprocess.model_dump(mode="json"), plan.seed]
    text = json.dumps([*parts, plan.precision, learn.fingerprint])
    return hashlib.sha256(text.encode()).hexdigest()


def _provenance(
    plan: FitPlan,
    model: AnomalyModel,
    learn: Part,
    held_out: Part,
    summary: TrainingSummary,
    failures: list[Failure],
) -> dict[str, Any]:
    chosen = model.config.model_dump(mode="json", include=set(plan.settings))
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": plan.seed,
        "preset": plan.preset,
        "settings": chosen,
        "images": {"fit": len(learn), "calibration": len(held_out), "unreadable": len(failures)},
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
