"""What every fit does before and during training: read what can be read, prepare it once, train on some of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from daad.data.cache import CachedImages, cache_images
from daad.data.cache_store import digest_image
from daad.data.layouts import read_layout
from daad.data.preprocess import Preprocess, to_float
from daad.data.sample import Failure, Sample
from daad.detector.options import FitPlan, Progress, RunOptions
from daad.detector.selection import readable, wanted
from daad.errors import ConfigError, DataError, ImageError
from daad.models.base import AnomalyModel
from daad.models.build import build
from daad.training.loop import RunFolder, TrainingSummary, train

Ints = npt.NDArray[Any]


@dataclass(frozen=True)
class Ready:
    """Images and an untrained model that fit each other; `whole` are images kept aside to be judged as they are."""

    model: AnomalyModel
    preprocess: Preprocess
    cached: CachedImages
    failures: list[Failure]
    whole: list[Sample]


def make_ready(
    data: Any, plan: FitPlan, options: RunOptions, report: Progress, network: nn.Module | None = None
) -> Ready:
    """Read the training images of `data`, or tiles of them, and build the model for their shape; what cannot be read
    becomes a failure, or with `options.strict` an ImageError."""
    plan.check()
    tiling = plan.tiling()
    found = readable(read_layout(data, split="train"), tiling)
    headers = [header for _, header in found.good]
    preprocess = Preprocess.for_images(headers, plan.size(), plan.size_multiple(), tiles=tiling)
    model = _fresh_model(plan, preprocess, network)
    model.borrowed()  # before any decoding: what does not fit is refused at once
    part = wanted(found, plan, preprocess)
    cached = cache_images(
        part.samples,
        preprocess,
        options.folder / "cache" if options.folder and options.cache else None,
        windows=part.windows,
        progress=lambda done, total: report("read", done, total),
    )
    failures = [*found.failures, *cached.failures]
    if options.strict and failures:
        raise ImageError(failures[0].reason)
    return Ready(model, preprocess, cached, failures, part.whole)


@dataclass(frozen=True)
class Part:
    """Some of the cached images: `images[rows]`, with a fingerprint of their names and pixels."""

    images: Ints
    rows: npt.NDArray[np.int64]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.rows)


def part_of(cached: CachedImages, rows: npt.NDArray[np.int64]) -> Part:
    """The images at `rows`."""
    digest = hashlib.sha256()
    for row in rows:
        digest_image(digest, cached.samples[row].name, cached.images[row])
    return Part(cached.images, rows, digest.hexdigest())


def learn(
    model: AnomalyModel,
    part: Part,
    plan: FitPlan,
    options: RunOptions,
    preprocess: Preprocess,
    report: Progress,
) -> TrainingSummary:
    """Train the model on a part of the images, repeatably, and bring it to the CPU: wherever it was trained, it is
    judged where it will be loaded, for a GPU rounds differently."""
    run = None
    if options.folder is not None:
        identity = _identity(model, part, plan, preprocess)
        run = RunFolder(options.folder, identity, options.checkpoint_every, options.resume)
    with repeatable(plan.seed):
        summary = train(
            model,
            part.images,
            to_float,
            rows=part.rows,
            seed=plan.seed,
            accelerator=plan.accelerator,
            precision=plan.precision,
            run=run,
            progress=lambda done, total: report("train", done, total),
        )
    model.to("cpu")
    return summary


def _fresh_model(plan: FitPlan, preprocess: Preprocess, network: nn.Module | None) -> AnomalyModel:
    config = plan.config(preprocess.height, preprocess.width, preprocess.channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return build(plan.model, config.model_dump(), network)


def _identity(model: AnomalyModel, part: Part, plan: FitPlan, preprocess: Preprocess) -> str:
    """A hash of all that decides the weights: only a run with the same one may go on from a checkpoint."""
    parts = [plan.model, model.config.model_dump(mode="json"), preprocess.model_dump(mode="json"), plan.seed]
    digest = hashlib.sha256(json.dumps([*parts, plan.precision, part.fingerprint]).encode())
    for name, weights in model.borrowed().items():
        digest.update(f"{name} {weights.dtype} {list(weights.shape)}".encode())
        digest.update(weights.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def told_of(failures: Sequence[Failure]) -> Iterator[None]:
    """Add to what is wrong with the images, such as that they are too few, that some could not be read."""
    try:
        yield
    except (ConfigError, DataError) as error:
        if not failures:
            raise
        left = f"{len(failures)} images were left out; the first: {failures[0].reason}"
        raise type(error)(f"{error} ({left})") from None


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
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
