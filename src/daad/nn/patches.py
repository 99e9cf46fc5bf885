"""Square patches of images: on an overlapping grid and blended back, by chance, and in neighbouring pairs."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

# (down, right) of the eight neighbours, row by row.
DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


class Pairs(NamedTuple):
    """first and second (B, C, K, K); direction (B,), the place in DIRECTIONS where the second lies; corners (B, 2) of
    the first and of the second."""

    first: Tensor
    second: Tensor
    direction: Tensor
    corners: tuple[Tensor, Tensor]


class PatchGrid(nn.Module):
    """Patches of `side` every `stride` pixels, the last ones flush with the border, so that no pixel is left out."""

    places: Tensor
    cover: Tensor
    share: Tensor

    def __init__(self, height: int, width: int, side: int, stride: int) -> None:
        super().__init__()
        self.size, self.side = (height, width), side
        rows, columns = (_covering(length, side, stride) for length in (height, width))
        within = torch.arange(side)
        down = torch.tensor(rows.starts)[:, None, None, None] + within[:, None]  # (P_r, 1, K, 1)
        right = torch.tensor(columns.starts)[:, None, None] + within  # (P_c, 1, K)
        number = _down(rows.patch) * len(columns.starts) + _along(columns.patch)  # (H, W, M_r, M_c)
        cover = (number * side + _down(rows.offset)) * side + _along(columns.offset)
        share = _down(rows.share) * _along(columns.share)
        # which pixel each element of each patch is (P, K * K); which elements cover each pixel, and how much (H * W, M)
        self.register_buffer("places", (down * width + right).flatten(2).flatten(0, 1), persistent=False)
        self.register_buffer("cover", cover.flatten(2).flatten(0, 1), persistent=False)
        self.register_buffer("share", share.flatten(2).flatten(0, 1), persistent=False)

    def __len__(self) -> int:
        return len(self.places)

    def cut(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) -> patches (B, P, C, K, K)."""
        picked = images.flatten(2)[:, :, self.places]  # (B, C, P, K * K)
        cut: Tensor = picked.transpose(1, 2).reshape(-1, len(self), images.shape[1], self.side, self.side)
        return cut

    def blend(self, maps: Tensor) -> Tensor:
        """Maps (B, P, K, K) of patches, B and P also as one -> maps (B, H, W): of what covers a pixel, the mean."""
        elements = maps.reshape(-1, len(self) * self.side**2)
        blended: Tensor = (elements[:, self.cover] * self.share).sum(dim=2).reshape(-1, *self.size)
        return blended


def starts(length: int, side: int, stride: int) -> list[int]:
    """Where patches of `side` begin so that they cover `length`."""
    return sorted({*range(0, length - side + 1, stride), length - side})


def _down(table: list[list[Any]]) -> Tensor:
    return torch.tensor(table)[:, None, :, None]


def _along(table: list[list[Any]]) -> Tensor:
    return torch.tensor(table)[None, :, None, :]


class Covering(NamedTuple):
    """Along one axis: where patches start; for each pixel the patches that cover it, its place in them, and the share
    of each, padded with shares of 0."""

    starts: list[int]
    patch: list[list[int]]
    offset: list[list[int]]
    share: list[list[float]]


def _covering(length: int, side: int, stride: int) -> Covering:
    begins = starts(length, side, stride)
    found = [[i for i, start in enumerate(begins) if start <= pixel < start + side] for pixel in range(length)]
    most = max(map(len, found))
    patch = [row + [row[0]] * (most - len(row)) for row in found]
    offset = [[pixel - begins[i] for i in row] for pixel, row in enumerate(patch)]
    share = [[1 / len(row)] * len(row) + [0.0] * (most - len(row)) for row in found]
    return Covering(begins, patch, offset, share)


def cut_at(images: Tensor, corners: Tensor, side: int) -> Tensor:
    """The patch (B, C, K, K) of each image (B, C, H, W) whose upper left corner is at (row, column), corners (B, 2)."""
    within = torch.arange(side, device=images.device)
    rows, columns = corners[:, :1] + within, corners[:, 1:] + within
    each = torch.arange(len(images), device=images.device)[:, None, None]
    return images[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def random_patches(images: Tensor, side: int, count: int) -> Tensor:
    """`count` patches of each image by chance, (count * B, C, K, K)."""
    many = images.repeat(count, 1, 1, 1)
    room = torch.tensor([length - side + 1 for length in images.shape[-2:]], device=images.device)
    return cut_at(many, (torch.rand(len(many), 2, device=images.device) * room).long(), side)


def neighbouring_pairs(images: Tensor, side: int) -> Pairs:
    """Of each image a patch by chance and another in one of eight directions, 3/4 to 1 side away, both inside.

    Where a pair would leave the image it is drawn elsewhere, never clipped, so that the direction stays true. Needs
    sides of at least two patches. Source: CCD's L_pos; Patch-SVDD (Yi & Yoon, ACCV 2020).
    """
    count, device = len(images), images.device
    direction = torch.randint(len(DIRECTIONS), (count,), device=device)
    nearest = 3 * side // 4
    distance = torch.randint(nearest, max(side, nearest + 1), (count, 2), device=device)
    offset = torch.tensor(DIRECTIONS, device=device)[direction] * distance
    room = torch.tensor([length - side + 1 for length in images.shape[-2:]], device=device) - offset.abs()
    lowest = (-offset).clamp_min(0)
    first = lowest + (torch.rand(count, 2, device=device) * room).long()
    second = first + offset
    return Pairs(cut_at(images, first, side), cut_at(images, second, side), direction, (first, second))
