"""The training loop: stages in order, players in turn, every step a pure function of seed and position.

for stage: begin -> for step: batch -> for player: loss terms -> gradients -> optimiser -> after_step -> end
                                  \\-> stop at NaN, log, checkpoint every N steps, progress
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.optim import Optimizer

from daad.errors import ArtifactError, TrainingError
from daad.files import only_one
from daad.stages import Player, Stage, Trainable
from daad.training.batches import Batches, ImageBatches, Ints, batch_indices
from daad.training.checkpoint import Position, load_checkpoint, restore_model, restore_optimisers, save_checkpoint
from daad.training.log import RunLog

Precision = Literal["auto", "32-true", "bf16-mixed"]
Progress = Callable[[int, int], None]

WARMUP_STEPS = 20
LOWEST_RATE = 0.01
IN_ORDER_BATCH = 32
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run's checkpoint and log. Only a run with the same `identity` resumes from it."""

    path: Path
    identity: str
    checkpoint_every: int = 200
    resume: bool = False

    @property
    def checkpoint(self) -> Path:
        return self.path / CHECKPOINT


@dataclass
class TrainingSummary:
    """Steps, seconds of this process, precision used, and the last value of every loss term."""

    steps: int
    seconds: float
    precision: str
    resumed_at: int = 0
    last_terms: dict[str, float] = field(default_factory=dict)


def resolve_precision(precision: Precision, accelerator: str) -> str:
    """bf16-mixed where the CPU multiplies bf16 in hardware (there it is faster), else 32-true.

    It depends on the CPU's features and on no timing, so two runs on one machine agree.
    """
    if precision != "auto":
        return precision
    native = torch.cpu.get_capabilities() if accelerator == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
    return "bf16-mixed" if native.get("avx512_bf16") or native.get("amx_bf16") else "32-true"


def learning_rate_at(step: int, steps: int) -> float:
    """Share of the highest learning rate at a step: a short linear warm-up, then a cosine down to LOWEST_RATE."""
    warmup = min(1.0, (step + 1) / min(WARMUP_STEPS, steps))
    return warmup * (LOWEST_RATE + (1 - LOWEST_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps)))


def seed_at(seed: int, stage: int, position: int) -> None:
    """Seed torch for the hooks and losses of a position, so that a resumed run draws the same random numbers.

    Position 0 is a stage's `begin`, 1 its first step, steps + 1 its `end`.
    """
    torch.manual_seed(int(np.random.SeedSequence((seed, stage, position)).generate_state(1, np.uint32)[0]))


def train(
    model: Trainable,
    images: Ints,
    to_float: Callable[[Ints], Ints],
    *,
    rows: Ints | None = None,
    seed: int,
    accelerator: str = "auto",
    precision: Precision = "auto",
    run: RunFolder | None = None,
    progress: Progress | None = None,
) -> TrainingSummary:
    """Train `model` in place on integer images. On one CPU the result depends on the seed alone.

    Args:
        model: what is trained.
        images: (N, H, W, C), integers.
        to_float: integer images -> float images (B, C, H, W) in [0, 1].
        rows: indices of the images to train on; None: all.
        seed: of batches and random numbers.
        accelerator: Fabric's: "auto", "cpu", "cuda", ...
        precision: "auto" (see `resolve_precision`), "32-true" or "bf16-mixed".
        run: folder of checkpoint and log; None: neither is written.
        progress: called as `progress(done, total)` after every step.

    Raises:
        TrainingError: for a loss that is not finite, with step and term.
        ArtifactError: where the checkpoint of a run to resume does not fit.
    """

    def batches(device: torch.device) -> ImageBatches:
        return ImageBatches(images, to_float, device, rows)

    return train_on(model, batches, seed=seed, accelerator=accelerator, precision=precision, run=run, progress=progress)


def train_on(
    model: Trainable,
    batches_on: Callable[[torch.device], Batches],
    *,
    seed: int,
    accelerator: str = "auto",
    precision: Precision = "auto",
    run: RunFolder | None = None,
    progress: Progress | None = None,
) -> TrainingSummary:
    """Train `model` in place on batches of any kind.

    Args:
        model: what is trained.
        batches_on: device -> the batches on it.
        seed: of batches and random numbers.
        accelerator: Fabric's: "auto", "cpu", "cuda", ...
        precision: "auto" (see `resolve_precision`), "32-true" or "bf16-mixed".
        run: folder of checkpoint and log; None: neither is written.
        progress: called as `progress(done, total)` after every step.

    Raises:
        TrainingError: for a loss that is not finite, with step and term.
        ArtifactError: where the checkpoint of a run to resume does not fit.
    """
    fabric, precision_used = _fabric(accelerator, precision)
    batches = batches_on(fabric.device)
    model.to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    started = monotonic()
    with only_one(run.path) if run else nullcontext(), torch.random.fork_rng():
        trainer = _Trainer(fabric, model, batches, model.stages(len(batches)), seed, run, progress or _no_progress)
        trainer.run()
    model.eval()
    total = sum(stage.steps for stage in trainer.stages)
    seconds = monotonic() - started
    return TrainingSummary(total, seconds, precision_used, trainer.resumed_at, trainer.last_terms)


def _fabric(accelerator: str, precision: Precision) -> tuple[Fabric, str]:
    """Fabric on one device, and the resolved precision. Fabric's own log messages are muted."""
    logger = logging.getLogger("lightning_fabric.utilities.rank_zero")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        device = Fabric(accelerator=accelerator, devices=1).device
        used = resolve_precision(precision, device.type)
        return Fabric(accelerator=accelerator, devices=1, precision=used), used  # type: ignore[arg-type]
    finally:
        logger.setLevel(level)


class _Trainer:
    """The state of one training, shared by the functions of the loop."""

    def __init__(
        self,
        fabric: Fabric,
        model: Trainable,
        batches: Batches,
        stages: list[Stage],
        seed: int,
        folder: RunFolder | None,
        progress: Progress,
    ) -> None:
        self.fabric, self.model, self.batches, self.stages = fabric, model, batches, stages
        self.seed, self.folder, self.progress = seed, folder, progress
        self.total = sum(stage.steps for stage in stages)
        self.last_terms: dict[str, float] = {}
        self.position, self.tensors, self.scalars = self._load()
        self.resumed_at = self._steps_done(self.position)
        resume_at = (self.position.stage, self.position.step) if self.tensors else None
        self.log = RunLog(folder.path, resume_at=resume_at) if folder else None

    def _load(self) -> tuple[Position, dict[str, Any], dict[str, Any]]:
        """Position, tensors and scalars to resume from; the beginning where there is no checkpoint."""
        if self.folder is None or not self.folder.resume:
            return Position(), {}, {}
        if not self.folder.checkpoint.is_file():
            return Position(), {}, {}
        position, tensors, scalars = load_checkpoint(self.folder.checkpoint, self.folder.identity)
        try:
            restore_model(self.model, tensors)
        except (RuntimeError, KeyError) as error:
            raise ArtifactError(f"{self.folder.checkpoint}: does not fit the model ({error})") from None
        return position, tensors, scalars

    def run(self) -> None:
        try:
            for number in range(self.position.stage, len(self.stages)):
                self._run_stage(number)
        finally:
            if self.log is not None:
                self.log.close()

    def _run_stage(self, number: int) -> None:
        stage = self.stages[number]
        first = self.position.step if number == self.position.stage else 0
        in_order = partial(self.batches.in_order, IN_ORDER_BATCH)
        optimisers = {player.name: player.optimiser(player.parameters) for player in stage.players}
        highest_rates = {name: optimiser.param_groups[0]["lr"] for name, optimiser in optimisers.items()}
        if first:
            restore_optimisers(optimisers, self.tensors, self.scalars)
        elif stage.begin:
            seed_at(self.seed, number, 0)
            stage.begin(in_order)
        for step in range(first, stage.steps):
            self.model.train()
            if stage.begin and stage.begin_every and step and step % stage.begin_every == 0:
                stage.begin(in_order)
                self.model.train()
            seed_at(self.seed, number, step + 1)
            indices = batch_indices(self.seed, number, step, len(self.batches), stage.batch_size)
            batch = self.batches.take(indices)
            for player in stage.players:
                rate = highest_rates[player.name] * learning_rate_at(step, stage.steps)
                terms = self._optimise(stage, player, optimisers[player.name], batch, step, rate)
                self.last_terms |= {f"{player.name}/{term}": value for term, value in terms.items()}
                if self.log is not None:
                    self.log.write(number, step, player.name, terms, rate)
            if stage.after_step:
                stage.after_step(batch)
            self._after_step(number, step + 1, optimisers)
        if stage.end:
            seed_at(self.seed, number, stage.steps + 1)
            stage.end(in_order)

    def _optimise(
        self, stage: Stage, player: Player, optimiser: Optimizer, batch: Any, step: int, rate: float
    ) -> dict[str, float]:
        """One step of a player's optimiser; only its own parameters get gradients. Returns its loss terms."""
        trained = {id(p) for p in player.parameters}
        for parameter in self.model.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        with self.fabric.autocast():
            losses = player.loss(batch)
        values = {term: float(loss.detach()) for term, loss in losses.items()}
        for term, value in values.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"step {step} of stage {stage.name!r}: term {term!r} of {player.name} is {value}; "
                    "lower learning_rate, or check the training images"
                )
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(torch.stack(list(losses.values())).sum())
        optimiser.step()
        return values

    def _after_step(self, number: int, done: int, optimisers: dict[str, Optimizer]) -> None:
        """Save a checkpoint where it is due, and report progress."""
        position = Position(number, done)
        every = self.folder.checkpoint_every if self.folder else 0
        if self.folder and (done % every == 0 or done == self.stages[number].steps):
            if self.log is not None:
                self.log.flush()
            save_checkpoint(self.folder.checkpoint, self.model, optimisers, position, self.folder.identity)
        self.progress(self._steps_done(position), self.total)

    def _steps_done(self, position: Position) -> int:
        return sum(stage.steps for stage in self.stages[: position.stage]) + position.step


def _no_progress(done: int, total: int) -> None:
    """The progress callback of a training without one."""
