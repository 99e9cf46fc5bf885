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

from daad.data.cache import CachedImages, cache_images
from daad.data.cache_store import digest_image
from daad.data.layouts import read_layout
from daad.data.preprocess import Preprocess, to_float
from daad.data.sample import Failure, Sample
from daad.detector.options import ModelPlan, RunOptions
from daad.detector.selection import read_headers, select
from daad.errors import ConfigError, DataError, ImageError
from daad.models.base import AnomalyModel
from daad.models.build import build
from daad.models.feature_model import FeatureModel
from daad.runtime.progress import Progress
from daad.training.loop import RunFolder, TrainingSummary, train

Ints = npt.NDArray[Any]


@dataclass(frozen=True)
class Ready:
    """Images and an untrained model that fit each other; `untiled` are images kept aside to be judged as they are."""

    model: AnomalyModel
    preprocess: Preprocess
    cached: CachedImages
    failures: list[Failure]
    untiled: list[Sample]


def make_ready(data: Any, plan: ModelPlan, options: RunOptions, report: Progress) -> Ready:
    """Read the training images of `data`, or tiles of them, and build the model for their shape; what cannot be read
    becomes a failure, or with `options.strict` an ImageError."""
    plan.check()
    tiling = plan.tiling()
    readable = read_headers(read_layout(data, split="train"), tiling)
    headers = [header for _, header in readable.good]
    preprocess = Preprocess.for_images(headers, plan.size(), plan.size_multiple(), tiles=tiling)
    model = _fresh_model(plan, preprocess)
    selection = select(readable, plan, preprocess)
    cached = cache_images(
        selection.samples,
        preprocess,
        options.cache_folder,
        windows=selection.windows,
        progress=lambda done, total: report("read", done, total),
    )
    failures = [*readable.failures, *cached.failures]
    if options.strict and failures:
        raise ImageError(failures[0].reason)
    return Ready(model, preprocess, cached, failures, selection.untiled)


@dataclass(frozen=True)
class Subset:
    """Some of the cached images: `images[rows]`, with a fingerprint of their names and pixels."""

    images: Ints
    rows: npt.NDArray[np.int64]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.rows)


def subset(cached: CachedImages, rows: npt.NDArray[np.int64]) -> Subset:
    """The images at `rows`."""
    digest = hashlib.sha256()
    for row in rows:
        digest_image(digest, cached.samples[row].name, cached.images[row])
    return Subset(cached.images, rows, digest.hexdigest())


def learn(
    model: AnomalyModel,
    images: Subset,
    plan: ModelPlan,
    options: RunOptions,
    preprocess: Preprocess,
    report: Progress,
) -> TrainingSummary:
    """Train the model on some of the images, repeatably, and bring it to the CPU: wherever it was trained, it is
    judged where it will be loaded, for a GPU rounds differently."""
    run = None
    if options.run is not None:
        identity = _identity(model, images, plan, preprocess)
        run = RunFolder(options.run, identity, options.checkpoint_every, options.resume)
    with repeatable(plan.seed):
        summary = train(
            model,
            images.images,
            to_float,
            rows=images.rows,
            seed=plan.seed,
            accelerator=plan.accelerator,
            precision=plan.precision,
            run=run,
            progress=lambda done, total: report("train", done, total),
        )
    model.to("cpu")
    return summary


def _fresh_model(plan: ModelPlan, preprocess: Preprocess) -> AnomalyModel:
    config = plan.config(preprocess.height, preprocess.width, preprocess.channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return build(plan.model, config.model_dump(), plan.network)


def _identity(model: AnomalyModel, images: Subset, plan: ModelPlan, preprocess: Preprocess) -> str:
    """A hash of all that decides the weights: only a run with the same one may go on from a checkpoint."""
    parts = [plan.model, model.config.model_dump(mode="json"), preprocess.model_dump(mode="json"), plan.seed]
    foreign = model.features.sha256 if isinstance(model, FeatureModel) else None
    return hashlib.sha256(json.dumps([*parts, plan.precision, images.fingerprint, foreign]).encode()).hexdigest()


@contextmanager
def mentioning(failures: Sequence[Failure]) -> Iterator[None]:
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
