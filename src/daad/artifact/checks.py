"""What must fit together in a detector, beyond the hash of each file."""

from __future__ import annotations

from torch import Tensor

from daad.data.preprocess import Preprocess
from daad.errors import ArtifactError
from daad.models.base import ModelConfig

GOLDEN_TENSORS = ("image", "score", "anomaly_map")


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
    """Refuse a golden sample other than image (n, h, w, C) integers, score (n,), anomaly_map (n, h, w), n >= 1."""
    missing = [name for name in GOLDEN_TENSORS if name not in golden]
    if missing:
        raise ArtifactError(f"{where}: golden.safetensors holds no {missing[0]!r}; save the detector again")
    p, count = preprocess, max(1, len(golden["score"]) if golden["score"].ndim else 1)
    shapes = {
        "image": (count, p.height, p.width, p.channels),
        "score": (count,),
        "anomaly_map": (count, p.height, p.width),
    }
    for name, shape in shapes.items():
        tensor = golden[name]
        if tuple(tensor.shape) != shape or tensor.is_floating_point() == (name == "image"):
            raise ArtifactError(
                f"{where}: golden.safetensors: {name!r} is {tensor.dtype} of shape {tuple(tensor.shape)}, expected "
                f"{'integers' if name == 'image' else 'floats'} of shape {shape}; save the detector again"
            )
