"""Convolution blocks of the encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NO_VARIANCE = 1e-12  # of 1 and the square of the mean: less is rounding


class Conv3x3(nn.Conv2d):
    """3 x 3 convolution without bias: (B, in, H, W) -> (B, out, H / stride, W / stride), rounded up.

    Along a side of one pixel a stride changes nothing and is left out: on CPUs, oneDNN's bfloat16 kernel for it now and
    then gives weight gradients from memory that nobody wrote.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, 3, stride, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        stride = (self.stride[0] if height > 1 else 1, self.stride[1] if width > 1 else 1)
        return F.conv2d(maps, self.weight, None, stride, self.padding)


class Shortcut(nn.Conv2d):
    """1 x 1 convolution without bias of every `step`-th row and column. Picked first, and then convolved with stride 1:
    oneDNN's strided kernel writes past its workspace where channels are few."""

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

    Leaves the module in evaluation mode. One value a channel has no variance: such a batch changes nothing. What never
    varied is not scaled, for its variance of nothing would blow up what a new image has there.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
    watches = [norm.register_forward_pre_hook(_learn_from_several) for norm in norms]
    try:
        for batch in batches():
            forward(batch)
    finally:
        module.eval()
        for norm, momentum, watch in zip(norms, momenta, watches, strict=True):
            watch.remove()
            norm.momentum = momentum
    for norm in norms:
        if norm.running_mean is not None and norm.running_var is not None:
            norm.running_var[norm.running_var < NO_VARIANCE * (1 + norm.running_mean.square())] = 1.0


def _learn_from_several(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """A batch norm takes the statistics of inputs that have more than one value a channel."""
    norm.train(inputs[0].numel() > inputs[0].shape[1])
