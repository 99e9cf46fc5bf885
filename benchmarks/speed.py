"""What the choices for speed are worth, as ratios taken in turn in one run: precision, memory format, image cache, the
bound on the pixels that a model runs at once.

    python -m benchmarks.speed                   # all parts
    python -m benchmarks.speed inference         # some: steps, cache, inference
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.machine import provenance
from daad.data.cache import cache_images
from daad.data.layouts import read_layout
from daad.data.preprocess import Preprocess
from daad.models.build import build
from daad.models.registry import model_class
from daad.runtime.engines import torch as engine
from daad.runtime.engines.torch import TorchScorer

RESULTS = Path(__file__).parent / "results" / "speed.json"
ROUNDS = 9
STEPS = 5
BATCH, SIDE = 16, 256
SHAPE = {"height": 64, "width": 64, "channels": 1}


def main() -> None:
    torch.set_num_threads(1)
    parts: dict[str, Callable[[], Any]] = {
        "steps": lambda: [step_ratios(model) for model in ("ae", "ae-skip", "memae", "daad", "daad+")],
        "cache": cache_ratio,
        "inference": lambda: {**inference_ratios(), "provenance": provenance()},
    }
    chosen = sys.argv[1:] or list(parts)
    result = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"schema": 1, "suite": "speed"}
    result |= {name: parts[name]() for name in chosen}
    if {"steps", "cache"} & set(chosen):
        result["provenance"] = provenance()
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def inference_ratios() -> dict[str, Any]:
    """16 images of 256 pixels run in parts of bounded size against all at once: time, page faults an image."""
    images = np.random.default_rng(0).integers(0, 255, (BATCH, SIDE, SIDE, 1), dtype=np.uint8)
    config = {**SHAPE, "height": SIDE, "width": SIDE, **model_class("daad").presets["small"].settings}
    scorer = TorchScorer(build("daad", config))
    bound = engine.PIXELS_AT_ONCE

    def run(pixels: int) -> None:
        engine.PIXELS_AT_ONCE = pixels
        scorer(images)

    everything = BATCH * SIDE * SIDE
    try:
        times = ratio(lambda: run(bound), lambda: run(everything))
        faults = {
            name: page_faults(lambda pixels=pixels: run(pixels)) / BATCH
            for name, pixels in (("in_parts", bound), ("at_once", everything))
        }
    finally:
        engine.PIXELS_AT_ONCE = bound
    return {"model": "daad", "side": SIDE, "batch": BATCH, "parts_to_whole": times, "page_faults_an_image": faults}


def page_faults(function: Callable[[], object]) -> int:
    """Page faults of one call, after a first."""
    function()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    function()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def step_ratios(model: str) -> dict[str, Any]:
    """Time of a training step against float32 in channels-last, the house's way without bf16."""
    base = stepper(model, torch.channels_last, bf16=False)
    return {
        "model": model,
        "bf16_to_float32": ratio(stepper(model, torch.channels_last, bf16=True), base),
        "contiguous_to_channels_last": ratio(stepper(model, torch.contiguous_format, bf16=False), base),
    }


def stepper(name: str, memory_format: torch.memory_format, *, bf16: bool) -> Callable[[], None]:
    """A function that does a few steps of all players, without logging or checkpoints."""
    torch.manual_seed(0)
    settings = model_class(name).presets["small"].settings
    model = build(name, {**SHAPE, **settings}).to(memory_format=memory_format).train()
    (stage,) = model.stages(64)
    optimisers = [player.optimiser(player.parameters) for player in stage.players]
    batch = torch.rand(stage.batch_size, 1, 64, 64).contiguous(memory_format=memory_format)

    def steps() -> None:
        for _ in range(STEPS):
            for player, optimiser in zip(stage.players, optimisers, strict=True):
                mine = {id(parameter) for parameter in player.parameters}
                for parameter in model.parameters():
                    parameter.requires_grad_(id(parameter) in mine)
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    loss = torch.stack(list(player.loss(batch).values())).sum()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

    return steps


def cache_ratio() -> dict[str, float]:
    """Time to take every image from the cache against decoding and preprocessing it again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        noise = np.random.default_rng(0).integers(0, 255, (40, 512, 512), dtype=np.uint8)
        for index, image in enumerate(noise):
            Image.fromarray(image).save(folder / "images" / f"{index}.png")
        samples = read_layout(folder / "images", split="train")
        preprocess = Preprocess(height=64, width=64, channels=1)
        cached = cache_images(samples, preprocess, folder / "cache")
        return ratio(
            lambda: np.asarray(cached.images).sum(), lambda: cache_images(samples, preprocess, None, workers=1)
        )


def ratio(a: Callable[[], object], b: Callable[[], object]) -> dict[str, float]:
    """Median and range of time(a) / time(b), taken in turn."""
    a(), b()
    found = sorted(timed(a) / timed(b) for _ in range(ROUNDS))
    return {"median": statistics.median(found), "low": found[0], "high": found[-1]}


def timed(function: Callable[[], object]) -> float:
    started = perf_counter()
    function()
    return perf_counter() - started


if __name__ == "__main__":
    main()
