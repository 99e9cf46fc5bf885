"""Convolution blocks of the encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NO_VARIANCE = 1e-12  # share of 1 + mean^2; a smaller variance is rounding


class Conv3x3(nn.Conv2d):
    """3 x 3 convolution without bias: (B, in, H, W) -> (B, out, H / stride, W / stride), rounded up.

    Along a side of one pixel the stride has no effect and is left out. On CPUs, oneDNN's bfloat16 kernel for that case
    sometimes reads uninitialised memory into the weight gradients.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, 3, stride, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        stride = (self.stride[0] if height > 1 else 1, self.stride[1] if width > 1 else 1)
        return F.conv2d(maps, self.weight, None, stride, self.padding)


class Shortcut(nn.Conv2d):
    """1 x 1 convolution without bias of every `step`-th row and column.

    The map is subsampled first and then convolved with stride 1: oneDNN's strided kernel writes past its workspace
    where channels are few.
    """

    def __init__(self, inputs: int, outputs: int, step: int) -> None:
        super().__init__(inputs, outputs, 1, bias=False)
        self.step = step

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps[:, :, :: self.step, :: self.step])


class ConvBNReLU(nn.Sequential):
    """3 x 3 convolution, batch norm, ReLU: (B, in, H, W) -> (B, out, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        )


class Down(nn.Sequential):
    """Halve the map and change its width: a strided ConvBNReLU, then a plain one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(ConvBNReLU(inputs, outputs, stride=2), ConvBNReLU(outputs, outputs))


class Up(nn.Sequential):
    """Double the map and change its width: 4 x 4 transposed convolution of stride 2, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        )


@torch.no_grad()
def reestimate_batch_norms(
    module: nn.Module, forward: Callable[[Tensor], object], batches: Callable[[], Iterator[Tensor]]
) -> None:
    """Set the running statistics of every batch norm in `module` to their plain average over `batches`.

    Leaves the module in evaluation mode. A batch with one value a channel has no variance and is left out. A channel
    that never varies gets variance 1, so that a new image is not scaled up there.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
    hooks = [norm.register_forward_pre_hook(_train_on_several_values) for norm in norms]
    try:
        for batch in batches():
            forward(batch)
    finally:
        module.eval()
        for norm, momentum, hook in zip(norms, momenta, hooks, strict=True):
            hook.remove()
            norm.momentum = momentum
    for norm in norms:
        if norm.running_mean is not None and norm.running_var is not None:
            norm.running_var[norm.running_var < NO_VARIANCE * (1 + norm.running_mean.square())] = 1.0


def _train_on_several_values(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Put a batch norm in training mode for inputs with more than one value a channel, else in evaluation mode."""
    norm.train(inputs[0].numel() > inputs[0].shape[1])
