"""A module's slow copy, for momentum contrast: same weights at the start, later an exponential average of them.

Source: He et al., MoCo, CVPR 2020.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


def shadow_of(module: nn.Module) -> nn.Module:
    """A copy whose weights are buffers: saved and resumed with the model, but nobody's parameters."""
    shadow = copy.deepcopy(module)
    for part in shadow.modules():
        for name, parameter in list(part._parameters.items()):
            del part._parameters[name]
            part.register_buffer(name, None if parameter is None else parameter.detach().clone())
    return shadow


@torch.no_grad()
def follow(shadow: nn.Module, module: nn.Module, momentum: float) -> None:
    """Move the shadow's weights the share 1 - momentum of the way to the module's; its batch statistics are its own."""
    slow = dict(shadow.named_buffers())
    for name, parameter in module.named_parameters():
        slow[name].lerp_(parameter.detach(), 1 - momentum)
