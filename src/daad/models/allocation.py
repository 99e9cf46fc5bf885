"""A limit on what building a model may allocate, for configs that nobody vouches for.

torch's meta device would allocate nothing, but computing there loads torch's compiler, which takes seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from daad.errors import ConfigError

SLACK = 2**26  # numbers beside the weights that constructors may make, such as kernels and grids
LARGEST = 2**28  # numbers of a single result, such as a feature map
BY_SIZE = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)
BY_LENGTH = (torch.arange, torch.randperm, torch.linspace)


class AllocationLimit(TorchFunctionMode):
    """While entered, tensors of more than `numbers` numbers in all are refused before they are made: ConfigError."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self._left = numbers + SLACK

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        asked = numbers_asked(func, args, kwargs or {})
        self._left -= asked
        if self._left < 0:
            raise ConfigError(f"its config asks for a tensor of {asked:,} numbers, more than the weights hold")
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.numel() > LARGEST:
            raise ConfigError(f"its config leads to a tensor of {result.numel():,} numbers")
        return result


def numbers_asked(func: Any, args: Any, kwargs: Any) -> int:
    """How many numbers a call allocates, where it says so by its arguments; 0 for other calls."""
    if func in BY_SIZE:
        size = kwargs["size"] if "size" in kwargs else args[0] if isinstance(args[0], list | tuple) else args
        return math.prod(_integers(size))
    sizes = list(_integers(args))
    if func is torch.eye:
        return sizes[0] * sizes[-1]
    if func in BY_LENGTH:
        return max(sizes, default=0)
    if func is Tensor.repeat:
        return int(args[0].numel()) * math.prod(sizes)
    return 0


def _integers(value: Any) -> Iterator[int]:
    if isinstance(value, int) and not isinstance(value, bool):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _integers(item)
