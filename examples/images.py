"""The images of these examples, made with numpy: woven cloth is good, a bright spot on it is a defect."""

from pathlib import Path

import numpy as np
from PIL import Image

Box = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom are exclusive


def cloth(count: int, height: int = 64, width: int = 64, *, seed: int = 0) -> np.ndarray:
    """Good images (count, height, width, 1) uint8: threads in two directions, each image shifted, with noise."""
    random = np.random.default_rng(seed)
    shift = random.uniform(0, 16, (2, count, 1, 1))
    down, across = np.arange(height)[:, None], np.arange(width)[None, :]
    threads = np.sin((down + shift[0]) * 2 * np.pi / 16) + np.sin((across + shift[1]) * 2 * np.pi / 16)
    grey = 120 + 25 * threads + random.normal(0, 5, (count, height, width))
    return grey.clip(0, 255).astype(np.uint8)[..., None]


def spotted(images: np.ndarray, *, side: int = 8, change: int = 80, seed: int = 0) -> tuple[np.ndarray, list[Box]]:
    """The same images with one spot each, `change` grey levels brighter than the cloth, and the box of each spot."""
    random = np.random.default_rng(seed)
    bad, boxes = images.astype(int), []
    for image in bad:
        top, left = (int(random.integers(4, length - side - 4)) for length in image.shape[:2])
        image[top : top + side, left : left + side] += change
        boxes.append((left, top, left + side, top + side))
    return bad.clip(0, 255).astype(np.uint8), boxes


def save(images: np.ndarray, folder: Path, name: str = "image") -> list[Path]:
    """Write grey images as PNG files `name00.png`, `name01.png`, ... to a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}{number:02d}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image[..., 0]).save(path)
    return paths


def touch(one: Box, other: Box) -> bool:
    """Whether two boxes share a pixel."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
