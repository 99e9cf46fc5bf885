"""A torch model as a `Scorer`: fitting, predicting, evaluating and verifying all pass here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from daad.data.preprocess import to_float
from daad.errors import TrainingError
from daad.runtime.scorer import Ints, Scored

PIXELS_AT_ONCE = 2 * 256 * 256  # a larger batch only costs page faults: see benchmarks/speed.py


class TorchScorer:
    """Runs a model whose output has score, anomaly_map, reconstruction and pictures; float32, no gradients.

    Batches of many pixels are run in parts, which gives the same scores in less memory. `settings` are the model's, for
    the fingerprint.
    """

    def __init__(self, model: nn.Module, settings: Mapping[str, Any] | None = None) -> None:
        # One memory format, fitted or loaded: another would choose other kernels, and those round differently.
        self.model = model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._settings = dict(settings or {})

    def __call__(self, images: Ints, /) -> Scored:
        at_once = max(1, PIXELS_AT_ONCE // (images.shape[1] * images.shape[2]))
        parts = [self._run(images[start : start + at_once]) for start in range(0, len(images), at_once)]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def fingerprint(self) -> str:
        """A hash of weights, statistics and settings."""
        digest = hashlib.sha256(json.dumps([type(self.model).__name__, self._settings], sort_keys=True).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _run(self, images: Ints) -> Scored:
        device = next(chain(self.model.parameters(), self.model.buffers())).device  # a closed form has no parameters
        with torch.inference_mode():
            batch = torch.from_numpy(to_float(images)).to(device).contiguous(memory_format=torch.channels_last)
            output = self.model(batch)
        score = output.score.float().cpu().numpy()
        if not np.isfinite(score).all():
            raise TrainingError("the model gives scores that are not finite; its weights are damaged, fit again")
        maps = output.anomaly_map.float().cpu().numpy()
        rebuilt = None if output.reconstruction is None else _to_ints(output.reconstruction, images.dtype)
        pictures = {name: _to_ints(picture, images.dtype) for name, picture in output.pictures.items()}
        return Scored(score, maps, rebuilt, pictures)


def _joined(parts: list[Scored]) -> Scored:
    rebuilt = [part.reconstruction for part in parts if part.reconstruction is not None]
    return Scored(
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.anomaly_map for part in parts]),
        np.concatenate(rebuilt) if rebuilt else None,
        {name: np.concatenate([part.pictures[name] for part in parts]) for name in parts[0].pictures},
    )


def _to_ints(images: Tensor, dtype: np.dtype[Any]) -> Ints:
    scaled = (images.float().clamp(0, 1) * np.iinfo(dtype).max).round().permute(0, 2, 3, 1).cpu().numpy()
    return scaled.astype(dtype)
