"""What must fit together in a detector, beyond the hash of each file."""

from __future__ import annotations

import torch
from torch import Tensor

from daad.data.preprocess import Preprocess
from daad.errors import ArtifactError
from daad.models.base import ModelConfig

GOLDEN_DTYPES = {"image": torch.int32, "score": torch.float32, "anomaly_map": torch.float32}


def check_preprocess(preprocess: Preprocess, config: ModelConfig, where: str) -> None:
    """Refuse a preprocessing that gives images of another shape than the model takes."""
    for name in ("height", "width", "channels"):
        given, taken = getattr(preprocess, name), getattr(config, name)
        if given != taken:
            raise ArtifactError(
                f"{where}: manifest.json: preprocess gives {name} {given}, but the model's config takes {taken}; "
                "copy the detector again, or fit again"
            )


def check_golden(golden: dict[str, Tensor], preprocess: Preprocess, where: str) -> None:
    """Refuse a golden sample other than image (n, h, w, C) of int32, score (n,) and anomaly_map (n, h, w) of
    float32, n >= 1."""
    missing = [name for name in GOLDEN_DTYPES if name not in golden]
    if missing:
        raise ArtifactError(f"{where}: golden.safetensors holds no {missing[0]!r}; save the detector again")
    p, score = preprocess, golden["score"]
    count = max(1, len(score)) if score.ndim else 1
    shapes = {
        "image": (count, p.height, p.width, p.channels),
        "score": (count,),
        "anomaly_map": (count, p.height, p.width),
    }
    for name, dtype in GOLDEN_DTYPES.items():
        tensor = golden[name]
        if tuple(tensor.shape) != shapes[name] or tensor.dtype != dtype:
            raise ArtifactError(
                f"{where}: golden.safetensors: {name!r} is {tensor.dtype} of shape {tuple(tensor.shape)}, expected "
                f"{dtype} of shape {shapes[name]}; save the detector again"
            )
