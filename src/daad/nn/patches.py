"""Square patches of images: on an overlapping grid and blended back, at random, and in neighbouring pairs."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

# (down, right) of the eight neighbours, row by row.
DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


class Pairs(NamedTuple):
    """Neighbouring patches (B, C, K, K), and where they lie.

    `direction` (B,) is the index in DIRECTIONS of the second patch seen from the first. `corners` are the upper left
    corners (row, column) of both, (B, 2).
    """

    first: Tensor
    second: Tensor
    direction: Tensor
    corners: tuple[Tensor, Tensor]


class PatchGrid(nn.Module):
    """Patches on a grid, the last ones flush with the border, so that every pixel is covered.

    Args:
        height: H of the images.
        width: W of the images.
        side: K, pixels of a patch's side.
        stride: pixels from one patch to the next.
    """

    places: Tensor
    cover: Tensor
    share: Tensor

    def __init__(self, height: int, width: int, side: int, stride: int) -> None:
        super().__init__()
        self.size, self.side = (height, width), side
        rows, columns = (_covering(length, side, stride) for length in (height, width))
        offsets = torch.arange(side)
        row = torch.tensor(rows.starts)[:, None, None, None] + offsets[:, None]  # (P_r, 1, K, 1)
        column = torch.tensor(columns.starts)[:, None, None] + offsets  # (P_c, 1, K)
        patch = _over_rows(rows.patch) * len(columns.starts) + _over_columns(columns.patch)  # (H, W, M_r, M_c)
        cover = (patch * side + _over_rows(rows.offset)) * side + _over_columns(columns.offset)
        share = _over_rows(rows.share) * _over_columns(columns.share)
        # the pixel of every patch element (P, K * K); the elements that cover every pixel, and their weights (H * W, M)
        self.register_buffer("places", (row * width + column).flatten(2).flatten(0, 1), persistent=False)
        self.register_buffer("cover", cover.flatten(2).flatten(0, 1), persistent=False)
        self.register_buffer("share", share.flatten(2).flatten(0, 1), persistent=False)

    def __len__(self) -> int:
        return len(self.places)

    def cut(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) -> patches (B, P, C, K, K)."""
        elements = images.flatten(2)[:, :, self.places]  # (B, C, P, K * K)
        patches: Tensor = elements.transpose(1, 2).reshape(-1, len(self), images.shape[1], self.side, self.side)
        return patches

    def blend(self, maps: Tensor) -> Tensor:
        """Maps of patches (B, P, K, K) or (B * P, K, K) -> maps (B, H, W): at every pixel the mean of its patches."""
        elements = maps.reshape(-1, len(self) * self.side**2)
        blended: Tensor = (elements[:, self.cover] * self.share).sum(dim=2).reshape(-1, *self.size)
        return blended


def starts(length: int, side: int, stride: int) -> list[int]:
    """The first pixels of patches of `side` that cover `length`."""
    return sorted({*range(0, length - side + 1, stride), length - side})


def _over_rows(table: list[list[Any]]) -> Tensor:
    return torch.tensor(table)[:, None, :, None]


def _over_columns(table: list[list[Any]]) -> Tensor:
    return torch.tensor(table)[None, :, None, :]


class Covering(NamedTuple):
    """The patches along one axis.

    Lists over the pixels of the axis: the patches that cover a pixel, its offset in them, and their weights. They are
    padded to one length with weights of 0.
    """

    starts: list[int]
    patch: list[list[int]]
    offset: list[list[int]]
    share: list[list[float]]


def _covering(length: int, side: int, stride: int) -> Covering:
    first = starts(length, side, stride)
    covering = [[i for i, start in enumerate(first) if start <= pixel < start + side] for pixel in range(length)]
    most = max(map(len, covering))
    patch = [indices + [indices[0]] * (most - len(indices)) for indices in covering]
    offset = [[pixel - first[i] for i in indices] for pixel, indices in enumerate(patch)]
    share = [[1 / len(indices)] * len(indices) + [0.0] * (most - len(indices)) for indices in covering]
    return Covering(first, patch, offset, share)


def cut_at(images: Tensor, corners: Tensor, side: int) -> Tensor:
    """One patch (B, C, K, K) of every image (B, C, H, W), at upper left corners (row, column), (B, 2)."""
    offsets = torch.arange(side, device=images.device)
    rows, columns = corners[:, :1] + offsets, corners[:, 1:] + offsets
    image = torch.arange(len(images), device=images.device)[:, None, None]
    return images[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def random_patches(images: Tensor, side: int, count: int) -> Tensor:
    """`count` random patches of every image, (count * B, C, K, K)."""
    repeated = images.repeat(count, 1, 1, 1)
    corner_range = torch.tensor([length - side + 1 for length in images.shape[-2:]], device=images.device)
    return cut_at(repeated, (torch.rand(len(repeated), 2, device=images.device) * corner_range).long(), side)


def neighbouring_pairs(images: Tensor, side: int) -> Pairs:
    """Of every image a random patch and another in one of eight directions, 3/4 to 1 side away, both inside the image.

    The corners are drawn so that both patches lie inside. No patch is clipped, so the direction is exact. The images
    must be at least two patches high and wide. Source: CCD's L_pos; Patch-SVDD (Yi & Yoon, ACCV 2020).
    """
    count, device = len(images), images.device
    direction = torch.randint(len(DIRECTIONS), (count,), device=device)
    nearest = 3 * side // 4
    distance = torch.randint(nearest, max(side, nearest + 1), (count, 2), device=device)
    offset = torch.tensor(DIRECTIONS, device=device)[direction] * distance
    corner_range = torch.tensor([length - side + 1 for length in images.shape[-2:]], device=device) - offset.abs()
    lowest = (-offset).clamp_min(0)
    first = lowest + (torch.rand(count, 2, device=device) * corner_range).long()
    second = first + offset
    return Pairs(cut_at(images, first, side), cut_at(images, second, side), direction, (first, second))
