"""A training run on disk: everything that an exact resume needs, without pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from daad.errors import ArtifactError
from daad.files import write_atomically

SCHEMA = "daad-checkpoint-1"


@dataclass(frozen=True)
class Position:
    """The progress of a training: `step` steps of stage number `stage` are done."""

    stage: int = 0
    step: int = 0


def save_checkpoint(
    path: Path, model: nn.Module, optimisers: dict[str, Optimizer], position: Position, identity: str
) -> None:
    """Write model, optimisers, random state and position.

    Args:
        path: of the file; it is written atomically.
        model: with all weights and buffers.
        optimisers: those of the running stage, by player.
        position: steps that are done.
        identity: name of the run; only the same one may resume.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    scalars: dict[str, Any] = {}
    for name, optimiser in optimisers.items():
        for index, state in optimiser.state_dict()["state"].items():
            for key, value in state.items():
                entry = f"optimiser.{name}.{index}.{key}"
                (tensors if isinstance(value, Tensor) else scalars)[entry] = value
    tensors["random.cpu"] = torch.get_rng_state()
    header = {
        "schema": SCHEMA,
        "identity": identity,
        "stage": str(position.stage),
        "step": str(position.step),
        "scalars": json.dumps(scalars),
    }
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(stored, metadata=header))


def load_checkpoint(path: Path, identity: str) -> tuple[Position, dict[str, Tensor], dict[str, Any]]:
    """Position, tensors and scalars of a checkpoint. ArtifactError where it is damaged, or of another run or schema."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path}: the checkpoint cannot be read ({error}); delete it to start anew") from None
    if header.get("schema") != SCHEMA:
        raise ArtifactError(f"{path}: not a daad checkpoint of schema {SCHEMA}; delete it to start anew")
    if header["identity"] != identity:
        raise ArtifactError(
            f"{path}: the checkpoint belongs to a run with other settings, network, data or seed; "
            "resume with the same ones, or start without resume"
        )
    return Position(int(header["stage"]), int(header["step"])), tensors, json.loads(header["scalars"])


def restore_model(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load the checkpoint's weights and random state."""
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    torch.set_rng_state(tensors["random.cpu"])


def restore_optimisers(optimisers: dict[str, Optimizer], tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
    """Load the checkpoint's optimiser states."""
    for name, optimiser in optimisers.items():
        prefix = f"optimiser.{name}."
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Any]] = {}
        for entry, value in {**tensors, **scalars}.items():
            if entry.startswith(prefix):
                index, key = entry.removeprefix(prefix).split(".", 1)
                state.setdefault(int(index), {})[key] = _in_memory_format_of(parameters[int(index)], value)
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def _in_memory_format_of(parameter: Tensor, value: Any) -> Any:
    """Copy optimiser state into the memory format of its parameter.

    A fused optimiser reads parameter and state in memory order, so both must have the same format.
    """
    if not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
