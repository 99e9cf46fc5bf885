"""A fitted model as an ONNX graph, with a proof that it gives the same numbers.

image: uint8 or uint16 (N, H, W, C), already resized by Preprocess  ->  score (N,), anomaly_map (N, H, W)
                                                   of a detector of boxes:  scores (N, A, classes), boxes (N, A, 4)
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from daad.data.preprocess import Preprocess
from daad.errors import ArtifactError
from daad.models.base import AnomalyModel

OPSET = 18


@dataclass(frozen=True)
class Parity:
    """Largest difference between torch and ONNX Runtime, relative to the largest torch value."""

    images: int
    score: float
    anomaly_map: float

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return asdict(self)


class _Graph(nn.Module):
    """What the exported file holds: scaling to [0, 1], the model, and its first two outputs."""

    def __init__(self, model: nn.Module, highest: float) -> None:
        super().__init__()
        self.model = model
        self.highest = highest

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        output = self.model(image.permute(0, 3, 1, 2).to(torch.float32) / self.highest)
        return output[0], output[1]


def export_onnx(model: AnomalyModel, preprocess: Preprocess, path: Path, samples: npt.NDArray[Any]) -> Parity:
    """Write `path` (one file, any batch size) and prove it on `samples` (N, H, W, C) through ONNX Runtime.

    Raises ArtifactError where the extra is not installed.
    """
    return Parity(len(samples), *export_pair(model, preprocess, path, samples, ("score", "anomaly_map")))


def export_pair(
    model: nn.Module, preprocess: Preprocess, path: Path, samples: npt.NDArray[Any], names: tuple[str, str]
) -> tuple[float, float]:
    """Write a model with two outputs of these names, and give the largest difference of each, relative to its largest
    value."""
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ArtifactError(f"ONNX export needs {error.name}: pip install 'daad[onnx]'") from None
    highest = float(np.iinfo(preprocess.dtype).max)
    graph = _Graph(model, highest).eval()
    example = torch.from_numpy(np.ascontiguousarray(samples[:2]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with _quiet():
        torch.onnx.export(
            graph,
            (example,),
            str(path),
            input_names=["image"],
            output_names=list(names),
            dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1, max=4096)}},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return _differences(graph, path, samples)


def _differences(graph: _Graph, path: Path, samples: npt.NDArray[Any]) -> tuple[float, float]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    first, second = session.run(None, {"image": np.ascontiguousarray(samples)})
    with torch.no_grad():
        torch_first, torch_second = graph(torch.from_numpy(np.ascontiguousarray(samples)))
    return _difference(torch_first, first), _difference(torch_second, second)


def _difference(torch_values: Tensor, onnx_values: npt.NDArray[Any]) -> float:
    reference = torch_values.numpy()
    return float(np.abs(reference - onnx_values).max() / max(float(np.abs(reference).max()), 1e-12))


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """The exporter talks on stdout, in warnings and in the log; its errors still surface."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
