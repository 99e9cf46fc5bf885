"""A momentum copy of a module: same weights at the start, later their exponential moving average.

Source: He et al., MoCo, CVPR 2020.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


def momentum_copy(module: nn.Module) -> nn.Module:
    """A copy whose weights are buffers: saved and resumed with the model, but not trained by gradients."""
    copied = copy.deepcopy(module)
    for submodule in copied.modules():
        for name, parameter in list(submodule._parameters.items()):
            del submodule._parameters[name]
            submodule.register_buffer(name, None if parameter is None else parameter.detach().clone())
    return copied


@torch.no_grad()
def update_momentum(copied: nn.Module, module: nn.Module, momentum: float) -> None:
    """w_copy <- momentum w_copy + (1 - momentum) w for all weights; the copy keeps its own batch statistics."""
    weights = dict(copied.named_buffers())
    for name, parameter in module.named_parameters():
        weights[name].lerp_(parameter.detach(), 1 - momentum)
