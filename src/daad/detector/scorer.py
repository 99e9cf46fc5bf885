"""The one place where a model meets integer images: fitting, predicting, evaluating and verifying all pass here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from daad.data.preprocess import Preprocess, to_float
from daad.errors import TrainingError
from daad.models.base import AnomalyModel

Ints = npt.NDArray[Any]


class Scored(NamedTuple):
    """score (B,), anomaly_map (B, h, w), reconstruction (B, h, w, C) integers or None, and more pictures by name like
    it; all at the model's size."""

    score: npt.NDArray[np.float32]
    anomaly_map: npt.NDArray[np.float32]
    reconstruction: Ints | None
    pictures: dict[str, Ints]


def score_batch(model: AnomalyModel, preprocess: Preprocess, images: Ints) -> Scored:
    """Run the model on preprocessed integer images (B, h, w, C); float32 on every device, no gradients."""
    device = next(chain(model.parameters(), model.buffers())).device  # a closed form may have no parameters
    with torch.inference_mode():
        batch = torch.from_numpy(to_float(images)).to(device).contiguous(memory_format=torch.channels_last)
        output = model(batch)
    score = output.score.float().cpu().numpy()
    if not np.isfinite(score).all():
        raise TrainingError("the model gives scores that are not finite; its weights are damaged, fit again")
    maps = output.anomaly_map.float().cpu().numpy()
    rebuilt = None if output.reconstruction is None else _to_ints(output.reconstruction, preprocess)
    pictures = {name: _to_ints(images, preprocess) for name, images in output.pictures.items()}
    return Scored(score, maps, rebuilt, pictures)


def score_all(model: AnomalyModel, preprocess: Preprocess, batches: Iterable[Ints]) -> Iterator[tuple[float, float]]:
    """(score, highest map value) of every image, holding one batch at a time."""
    for images in batches:
        scored = score_batch(model, preprocess, images)
        yield from zip(scored.score.tolist(), scored.anomaly_map.max(axis=(1, 2)).tolist(), strict=True)


def _to_ints(images: torch.Tensor, preprocess: Preprocess) -> Ints:
    highest = np.iinfo(preprocess.dtype).max
    scaled = (images.float().clamp(0, 1) * highest).round().permute(0, 2, 3, 1).cpu().numpy()
    return scaled.astype(preprocess.dtype)
