"""The strange tile of a scene: how far up a ranking of tiles brings it, on photographs and on true defects.

    python -m benchmarks.scenes --data FOLDER

Photographs (scikit-image's moon, gravel, grass, brick; no labels): a detector learns the tiles of the left half; a disc
14 pixels across, cut from another photograph, is pasted at a random place of the right half, 48 times, and the tiles
are ranked each time. Strips (magnetic_tile, commutator, at full resolution): a detector learns the tiles of good images
and ranks the tiles of all test images together; those that touch a mask are to be found. Tiles of 32 pixels, side by
side. Last step; nothing is chosen on what is ranked.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.categories import folder_of, test_samples
from benchmarks.suite import Job, Row, Suite, run_suite

TILE = 32
PHOTOGRAPHS = ("moon", "gravel", "grass", "brick")
STRIPS = ("magnetic_tile", "commutator")
OBJECTS = ("coins", "page", "camera", "coffee", "clock", "cell")
REPEATS = 8
DISC = 14  # pixels across
LIVELY = 10.0  # least standard deviation of a disc, in grey levels of 255
SEEDS = (0, 1, 2)
TRIVIAL = "baselines"
METHODS: dict[str, dict[str, Any]] = {
    "lunar": {"model": "lunar"},
    "lunar released": {"model": "lunar", "loss": "l1", "lam": 4.0},
    "ae": {"model": "ae"},
    "daad": {"model": "daad"},
    TRIVIAL: {},
}
Floats = npt.NDArray[np.float64]
Grids = dict[str, Floats]


def measure(data: Path, job: Job) -> Row:
    """One method on one source."""
    from daad import Detector

    settings, found = METHODS[job["method"]], None
    photograph = job["source"] in PHOTOGRAPHS
    training: Row = {}
    if settings:
        learnt = [halves(job["source"])[0]] if photograph else folder_of(data, job["source"])
        found = Detector.fit(learnt, tile=TILE, overlap=0.0, seed=job["seed"], **settings)
        about = found.provenance["training"]
        training = {
            "tiles_learnt": found.provenance["tiles"]["fit"],
            "train_seconds": round(about["seconds"], 1),
            "last_losses": about["last_terms"],
        }
    ranked = pasted(found, job) if photograph else strips(found, folder_of(data, job["source"]))
    return {**ranked, **training}


def grids(detector: Any, scene: Any) -> Grids:
    """Every score of the tiles (rows, columns) of a scene; for lunar also its two parts, and of overlapping tiles."""
    import daad

    if detector is None:
        return baselines(pixels_of(scene))
    found = {"score": daad.search(scene, detector, top=1).scenes[0].scores}
    if detector.name == "lunar":
        found["error alone"] = daad.search(scene, without_code(detector), top=1).scenes[0].scores
        found["code alone"] = found["score"] - found["error alone"]
    doubled = daad.search(scene, detector, top=1, overlap=0.5).scenes[0].scores
    found["overlap 0.5"] = pooled_back(doubled, found["score"].shape)
    return found


def without_code(detector: Any) -> Any:
    """Lunar's detector without the code's part of the score."""
    from copy import copy

    from daad import Detector

    model = copy(detector.model)
    model.config = model.config.model_copy(update={"score_code": False})
    return Detector.of(detector.name, model, detector.preprocess, detector.calibration, detector.provenance)


def pooled_back(scores: Floats, shape: tuple[int, int]) -> Floats:
    """Scores of tiles at half steps -> of those side by side: the highest of the tile and its half-step neighbours."""
    padded = np.pad(scores, 1, constant_values=-np.inf)
    best = np.max(
        [padded[i : i + scores.shape[0], j : j + scores.shape[1]] for i in range(3) for j in range(3)], axis=0
    )
    rows, columns = (np.minimum(2 * np.arange(n), m - 1) for n, m in zip(shape, scores.shape, strict=True))
    found: Floats = best[np.ix_(rows, columns)]
    return found


def baselines(pixels: npt.NDArray[Any]) -> Grids:
    """What needs no learning: variance, mean gradient, and distance of the mean grey from the scene's median."""
    from daad.data.tiles import Tiling

    grey = pixels.astype(np.float64).mean(axis=2)
    down, across = np.gradient(grey)
    gradient = np.hypot(down, across)
    tops, lefts = Tiling.of(TILE, 0.0).grid(*grey.shape)

    def of(plane: Floats, summary: Any) -> Floats:
        return np.array([[summary(plane[top : top + TILE, left : left + TILE]) for left in lefts] for top in tops])

    means = of(grey, np.mean)
    return {
        "variance": of(grey, np.var),
        "gradient": of(gradient, np.mean),
        "brightness": np.abs(means - np.median(means)),
    }


def pixels_of(scene: Any) -> npt.NDArray[Any]:
    """(H, W, C) of an array or a sample."""
    from daad import Sample
    from daad.data.decode import decode

    return decode(scene.image if isinstance(scene, Sample) else scene)


def photograph(name: str) -> npt.NDArray[np.uint8]:
    """A bundled photograph in grey."""
    from skimage import color, data, util

    image = getattr(data, name)()
    grey: npt.NDArray[np.uint8] = util.img_as_ubyte(color.rgb2gray(image[..., :3])) if image.ndim == 3 else image
    return grey


def halves(name: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Left and right half, (H, W / 2, 1), trimmed to whole tiles."""
    image = photograph(name)
    height, half = image.shape[0] // TILE * TILE, image.shape[1] // 2 // TILE * TILE
    return image[:height, :half, None], image[:height, -half:, None]


def pasted(detector: Any, job: Job) -> Row:
    """Where the tile of a pasted disc comes among those of the right half, over all objects and repeats."""
    rng = np.random.default_rng(job["seed"])
    _, right = halves(job["source"])
    inside = np.hypot(*np.mgrid[:DISC, :DISC] - (DISC - 1) / 2) <= DISC / 2
    ranks: dict[str, list[float]] = {}
    for name, _ in product(OBJECTS, range(REPEATS)):
        disc = disc_of(photograph(name), rng)
        top, left = (int(rng.integers(0, side - DISC + 1)) for side in right.shape[:2])
        scene = right.copy()
        place = scene[top : top + DISC, left : left + DISC, 0]
        place[inside] = disc[inside]
        row, column = (top + DISC // 2) // TILE, (left + DISC // 2) // TILE
        for variant, scores in grids(detector, scene).items():
            ranks.setdefault(variant, []).append(rank_of(scores, row, column))
    tiles = (right.shape[0] // TILE) * (right.shape[1] // TILE)
    return {"scores": {variant: of_ranks(np.array(found), tiles) for variant, found in ranks.items()}, "tiles": tiles}


def disc_of(image: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A square that is not flat."""
    while True:
        top, left = (int(rng.integers(0, side - DISC + 1)) for side in image.shape)
        square = image[top : top + DISC, left : left + DISC]
        if square.std() >= LIVELY:
            return square


def rank_of(scores: Floats, row: int, column: int) -> float:
    """Place of one tile from the top, 1 the first; among equals the middle."""
    own = scores[row, column]
    return float(1 + (scores > own).sum() + ((scores == own).sum() - 1) / 2)


def of_ranks(ranks: Floats, tiles: int) -> dict[str, float]:
    """With one tile to find, average precision is 1 / rank, and the share of such tiles 1 / tiles."""
    return {
        "ranked_above": float(((ranks - 1) / (tiles - 1)).mean()),
        "improvement_factor": float((tiles / ranks).mean()),
        "first_detection": float(np.median(ranks)),
        "random_first_detection": (tiles + 1) / 2,
        "in_top_5_percent": float((ranks <= 0.05 * tiles).mean()),
    }


def strips(detector: Any, folder: Path) -> Row:
    """How well tiles that touch a mask come before all other tiles of the test images."""
    from daad.search.candidates import deviations

    labels, scores = [], {}
    for sample in test_samples(folder):
        found = grids(detector, sample)
        labels.append(touched(sample, next(iter(found.values())).shape).ravel())
        for name, grid in found.items():
            scores.setdefault(name, []).append(grid.ravel())
            if name in ("score", "variance", "gradient"):
                scores.setdefault(f"{name}, per scene", []).append(deviations(grid).ravel())
    is_odd = np.concatenate(labels)
    return {
        "scores": {name: of_pool(is_odd, np.concatenate(parts)) for name, parts in scores.items()},
        "tiles": len(is_odd),
        "to_find": int(is_odd.sum()),
    }


def touched(sample: Any, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Which tiles (rows, columns) of a test image hold a pixel of its mask."""
    from daad.data.decode import decode, decode_mask
    from daad.data.tiles import Tiling

    if not sample.label:
        return np.zeros(shape, bool)
    height, width = decode(sample.image).shape[:2]
    mask = decode_mask(sample.mask, shape=(height, width))
    tops, lefts = Tiling.of(TILE, 0.0).grid(height, width)
    return np.array([[mask[top : top + TILE, left : left + TILE].any() for left in lefts] for top in tops])


def of_pool(is_odd: npt.NDArray[np.bool_], scores: Floats) -> dict[str, float]:
    """The metrics of one pooled ranking."""
    from daad.metrics import ranking, ranking_speed

    labels = is_odd.astype(int)
    return {
        "average_precision": ranking.average_precision(labels, scores),
        "improvement_factor": ranking_speed.improvement_factor(labels, scores),
        "first_detection": ranking_speed.first_detection(labels, scores),
        "random_first_detection": ranking_speed.expected_first_detection(len(labels), int(labels.sum())),
        "ranked_above": 1 - ranking.auroc(labels, scores),
    }


JOBS: list[Job] = [
    {"source": source, "method": method, "seed": seed}
    for seed, source, method in product(SEEDS, (*PHOTOGRAPHS, *STRIPS), METHODS)
    if not (method == TRIVIAL and source in STRIPS and seed)  # nothing random there
]
SUITE = Suite("scenes", ("source", "method", "seed"), JOBS, measure)

if __name__ == "__main__":
    run_suite(SUITE, __doc__)
