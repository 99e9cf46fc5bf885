"""Synthetic images with boxes: dark squares and bright bars on a textured background, and a detector of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daad import BoxDetector
from tests.images import save_png

Objects = list[tuple[list[int], str]]
SIDE = 96
TINY = {"size": "nano", "epochs": None, "batch_size": 8, "image_size": 96, "accelerator": "cpu"}


def made(seed: int, count: int) -> tuple[np.ndarray[Any, Any], Objects]:
    """An image (H, W, 1) uint8 with `count` objects that do not overlap, and their boxes [left, top, width, height]."""
    random = np.random.default_rng(seed)
    image = random.normal(120, 6, (SIDE, SIDE, 1))
    cells = random.permutation(9)[:count]
    objects = []
    for cell in cells:
        top, left = 32 * (cell // 3) + 2, 32 * (cell % 3) + 2
        kind = "hole" if random.random() < 0.5 else "bar"
        side = int(random.integers(10, 28))
        width, height = (side, side) if kind == "hole" else (28, max(5, side // 3))
        image[top : top + height, left : left + width] += -90 if kind == "hole" else 90
        objects.append(([int(left), int(top), int(width), int(height)], kind))
    return image.clip(0, 255).astype(np.uint8), objects


def write_coco(folder: Path, split: str, images: Iterable[tuple[np.ndarray[Any, Any], Objects]]) -> Path:
    """A COCO file with its images, named after their numbers."""
    image_entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (image, objects) in enumerate(images):
        name = f"{split}{number:03d}.png"
        save_png(folder / "images" / name, image)
        image_entries.append({"id": number, "file_name": name, "height": image.shape[0], "width": image.shape[1]})
        for box, kind in objects:
            label = 1 + (kind == "bar")
            annotations.append({"id": len(annotations), "image_id": number, "category_id": label, "bbox": box})
    categories = [{"id": 1, "name": "hole"}, {"id": 2, "name": "bar"}]
    body = {"images": image_entries, "annotations": annotations, "categories": categories}
    (folder / f"{split}.json").write_text(json.dumps(body))
    return folder


def write_data(folder: Path, split: str, seeds: range) -> Path:
    """Images with one to three objects; every fifth is a negative."""
    counts = [0 if number % 5 == 4 else 1 + seed % 3 for number, seed in enumerate(seeds)]
    return write_coco(folder, split, (made(seed, count) for seed, count in zip(seeds, counts, strict=True)))


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boxes")
    write_data(folder, "train", range(60))
    return write_data(folder, "test", range(1000, 1020))


@pytest.fixture(scope="session")
def learnt(labelled: Path) -> BoxDetector:
    """Trained long enough to find most of the objects."""
    torch.set_num_threads(1)
    return BoxDetector.fit(labelled, **TINY, steps=250, learning_rate=3e-3)
