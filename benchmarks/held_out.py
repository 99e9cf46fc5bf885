"""Criteria that no test image enters: good training images kept from training against copies with synthetic defects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.synthetic import with_defects
from daad.data.decode import decode
from daad.data.layouts import read_layout
from daad.data.preprocess import resize_map, to_float
from daad.data.splits import hold_out

HOLDOUT = 0.2
DEFECT_SEED = 1
BATCH = 32
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[Any]


@dataclass(frozen=True)
class Pairs:
    """Good images and their defective copies as a model sees them, (N, h, w, C) each, with the share of each model
    pixel that the defect covers, (N, h, w)."""

    good: Ints
    defective: Ints
    cover: Floats


def held_out_pairs(folder: Path, detector: Any) -> Pairs:
    """The images that a fit with the detector's seed on `folder` kept from training, and a defective copy of each."""
    seed = detector.provenance["seed"]
    _, kept = hold_out(read_layout(folder, split="train"), HOLDOUT, seed)
    images = [decode(sample.image, name=sample.name) for sample in kept]
    defective, masks = with_defects(images, DEFECT_SEED)
    p = detector.preprocess
    return Pairs(
        np.stack([p.apply(image) for image in images]),
        np.stack([p.apply(image) for image in defective]),
        np.stack([coverage(mask, (p.height, p.width)) for mask in masks]),
    )


def coverage(mask: npt.NDArray[np.bool_], shape: tuple[int, int]) -> Floats:
    """The share of each pixel of a grid (h, w) that a mask (H, W) covers."""
    return resize_map(mask.astype(np.float32), shape).clip(0, 1)


def error_maps(detector: Any, images: Ints) -> Floats:
    """The raw squared error (N, h, w) of the reconstruction of images as the model sees them: no blur, no spread."""
    import torch

    from daad.nn.error_maps import squared_error_map

    found = []
    with torch.no_grad():
        for start in range(0, len(images), BATCH):
            batch = torch.from_numpy(to_float(images[start : start + BATCH]))
            output = detector.model(batch.contiguous(memory_format=torch.channels_last))
            found.append(squared_error_map(batch, output.reconstruction)[:, 0].numpy())
    return np.concatenate(found)


def pixel_errors(good: Floats, defective: Floats, cover: Floats) -> dict[str, float | None]:
    """Mean squared error of the pixels of good images, and of the covered pixels of defective ones, each image alike.

    `gap` is their difference, `ratio` their quotient. Where no pixel is covered (a category without masks), all but
    `normal` are None.
    """
    weights = cover.sum(axis=(1, 2))
    seen = weights > 0
    if not seen.any():
        return {"normal": float(good.mean()), "anomalous": None, "gap": None, "ratio": None}
    per_image = (defective * cover).sum(axis=(1, 2))[seen] / weights[seen]
    normal, anomalous = float(good.mean()), float(per_image.mean())
    return {"normal": normal, "anomalous": anomalous, "gap": anomalous - normal, "ratio": anomalous / normal}
