"""Images of brushed metal plates for the README's picture, drawn with random numbers: good ones, and defective ones.

Lengths are in halves of an image: x and y run from -1 to 1. Light comes from the upper left.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Grey = npt.NDArray[np.float64]  # (H, W), levels from 0 to 1
SIDE, FINER = 128, 2  # pixels of an image; it is drawn this many times finer, then made smaller
HOLES = ((-0.56, -0.56), (0.56, -0.56), (-0.56, 0.56), (0.56, 0.56))
GRID = (np.arange(SIDE * FINER) + 0.5) / (SIDE * FINER) * 2 - 1


def plate(rng: np.random.Generator, defect: str | None = None) -> npt.NDArray[np.uint8]:
    """A plate (SIDE, SIDE) with four screw holes and a bore. Place, turn, light, brushing and noise are random.

    A defect has random numbers of its own: in all else the plate is the one that `rng` gives without it.
    """
    chance = rng.spawn(1)[0]
    across, down = np.meshgrid(GRID - rng.uniform(-0.012, 0.012), GRID - rng.uniform(-0.012, 0.012))
    turn = np.radians(rng.uniform(-1, 1))
    x, y = across * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - across * np.sin(turn)
    metal = brushed(rng, x, y)
    if defect in MARKS:
        metal = MARKS[defect](metal, x, y, chance)
    missing = chance.integers(len(HOLES)) if defect == "missing hole" else None
    for number, (left, top) in enumerate(HOLES):
        if number != missing:
            metal = drilled(metal, x - left, y - top, 0.105, 0.165)
    metal = drilled(metal, x, y, 0.25, 0.33)
    table = 0.13 - 0.07 * inside(to_edge(x - 0.025, y - 0.035), 0.07)  # with the plate's shadow
    cover = inside(to_edge(x, y))
    return photographed(table * (1 - cover) + metal * cover, rng)


def brushed(rng: np.random.Generator, x: Grey, y: Grey) -> Grey:
    """Metal with fine lines from left to right, and a bevel at the plate's edge."""
    lines = 0.13 * gaussian_filter(rng.normal(size=x.shape), (0.6, 40))
    bands = 0.19 * gaussian_filter(rng.normal(size=x.shape), (2.5, 60))
    bevel = np.exp(-(((to_edge(x, y) + 0.035) / 0.022) ** 2)) * np.where(x + y < 0, 1, -0.9) * np.tanh(3 * abs(x + y))
    return 0.6 + lines + bands + 0.16 * bevel


def to_edge(x: Grey, y: Grey, half: float = 0.84, corner: float = 0.16) -> Grey:
    """How far it is to the edge of a square with round corners: below 0 inside, above 0 outside."""
    a, b = abs(x) - half + corner, abs(y) - half + corner
    return np.hypot(np.maximum(a, 0), np.maximum(b, 0)) + np.minimum(np.maximum(a, b), 0) - corner


def inside(distance: Grey, soft: float = 0.012) -> Grey:
    """1 where a distance is below 0 and 0 where it is above, with a soft step."""
    return np.clip(0.5 - distance / (2 * soft), 0, 1)


def drilled(metal: Grey, x: Grey, y: Grey, radius: float, rim: float) -> Grey:
    """The metal with a round hole at x = y = 0, countersunk up to `rim`."""
    away = np.maximum(np.hypot(x, y), 1e-6)
    lit = (x + y) / (away * np.sqrt(2))
    for edge, level in ((rim, 0.52 + 0.24 * lit), (radius, 0.05 + 0.07 * np.clip(lit * away / radius, 0, 1))):
        cover = inside(away - edge)
        metal = metal * (1 - cover) + level * cover
    return metal


def scratched(metal: Grey, x: Grey, y: Grey, chance: np.random.Generator) -> Grey:
    """The metal with a thin, slightly bent scratch: a dark groove and a bright lip beside it."""
    x, y, angle = *around(x, y, chance), chance.uniform(0.35, 1.2) * chance.choice([-1, 1])
    along, away = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    away = away - chance.normal(0, 0.25) * along**2
    taper = np.sqrt(np.clip(1 - (2 * along / chance.uniform(0.35, 0.75)) ** 2, 0, 1))
    groove, lip = (np.exp(-(((away - beside) / 0.011) ** 2)) for beside in (0, 0.022))
    return metal + chance.uniform(0.6, 1) * taper * (0.3 * lip - 0.42 * groove)


def stained(metal: Grey, x: Grey, y: Grey, chance: np.random.Generator) -> Grey:
    """The metal with a dark blot that has a wavy, darker edge."""
    x, y = around(x, y, chance)
    angle, waves = np.arctan2(y, x), np.ones_like(x)
    for count in (1, 2, 3, 4):
        waves += chance.normal(0, 0.16 / count) * np.cos(count * angle + chance.uniform(0, 2 * np.pi))
    distance = np.hypot(x, y) - chance.uniform(0.11, 0.2) * waves
    edge = np.exp(-((distance / 0.025) ** 2))
    return metal * (1 - chance.uniform(0.2, 0.4) * inside(distance, 0.03) - 0.12 * edge)


def around(x: Grey, y: Grey, chance: np.random.Generator) -> tuple[Grey, Grey]:
    """x and y as seen from a random place between the bore and the plate's edge."""
    angle, away = chance.uniform(0, 2 * np.pi), chance.uniform(0.45, 0.6)
    return x - away * np.cos(angle), y - away * np.sin(angle)


def photographed(scene: Grey, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The scene under light that fades from the upper left, slightly blurred, with noise."""
    towards, (across, down) = rng.normal(np.pi / 4, 0.2), np.meshgrid(GRID, GRID)
    fade = rng.normal(0.14, 0.02) * (across * np.cos(towards) + down * np.sin(towards))
    lit = scene * (1 + rng.normal(0, 0.02) - fade)
    small = lit.reshape(SIDE, FINER, SIDE, FINER).mean(axis=(1, 3))
    noisy = gaussian_filter(small, 0.45) + rng.normal(0, 0.01, small.shape)
    return np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)


MARKS = MappingProxyType[str, Callable[[Grey, Grey, Grey, np.random.Generator], Grey]](
    {"scratch": scratched, "stain": stained}
)
DEFECTS = (*MARKS, "missing hole")
