"""The paper's central claim, the granularity of the memory, and every other choice of the model, one axis at a time.

    python -m benchmarks.sweep --data FOLDER

Each variant differs in one thing from a base, which is written out here and stays as it is when the presets move. From
one training come: the error of normal and of anomalous pixels and the image AUROC on the test images, which check the
claim; and the same on good training images kept from training, against copies with synthetic defects, which choose the
preset (benchmarks/held_out.py).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.categories import auroc_of, folder_of, test_samples
from benchmarks.held_out import Floats, Ints, coverage, error_maps, held_out_pairs, pixel_errors
from benchmarks.readings import MAXIMUM, PAPER, PAPER_PLUS, R_ALONE, reading
from benchmarks.suite import Job, Row, Suite, run_suite

# Long sides are multiples of 64, so that every rate is legal and every block a square: r counts along the short side.
SIZES = {"screw": (64, 64), "magnetic_tile": (64, 64), "commutator": (64, 128)}
SIDE = 64
SEEDS = (0, 1, 2)
GAMMAS = (0.0, 0.1, 0.5, 0.9, 1.0)
Settings = Callable[[int, int], dict[str, Any]]


def fixed(**settings: Any) -> Settings:
    """Settings that do not depend on the image's shape."""
    return lambda height, width: settings


def channel_rate(rc: int) -> Settings:
    """The preset's blocks of 16 x 16 image pixels, cut into `rc` parts along the channels."""
    return lambda height, width: {"division_rate": (height // 16, width // 16, rc)}


def corrupted(**settings: Any) -> Settings:
    """Nine of ten training images get a synthetic defect that is to be removed."""
    return fixed(corruption=0.9, **settings)


DAAD, PLUS = "daad", "daad+"
BASE: dict[str, Any] = {
    "size": "small",
    "steps": 1000,
    "patch": 16,
    "memory_items": 100,
    "temperature": 0.03,
    "memory_scales": 4,
    "corruption": 0.0,
    "reduction": "max",
    "standardise": True,
    "detail_sigma": 0.0,
}
BASE_PLUS: dict[str, Any] = {**BASE, "lambda_adv": 0.01, "lambda_ali": 0.01, "gamma": 0.5, "balance": True}
BASES = {DAAD: BASE, PLUS: BASE_PLUS}
VARIANTS: dict[str, tuple[str, Settings]] = {
    DAAD: ("daad", fixed()),
    **{f"r = {r}": ("daad", fixed(patch=SIDE // r)) for r in (1, 2, 8, 16, 32)},
    **{f"r_c = {rc}": ("daad", channel_rate(rc)) for rc in (2, 4)},
    PLUS: ("daad+", fixed()),
    **{f"N = {n}": ("daad", fixed(memory_items=n)) for n in (25, 400)},
    "no temperature": ("daad", fixed(temperature=None)),
    **{f"temperature {t}": ("daad", fixed(temperature=t)) for t in (0.1, 0.01)},
    "shrinkage 1/N": ("daad", fixed(shrinkage=1.0)),
    **{f"{k} of 4 scales": ("daad", fixed(memory_scales=k)) for k in (1, 2, 3)},
    "without L_adv": ("daad+", fixed(lambda_adv=0.0)),
    "without L_ali": ("daad+", fixed(lambda_ali=0.0)),
    **{f"50 / {w} / {w}": ("daad+", fixed(lambda_adv=w, lambda_ali=w)) for w in (1.0, 0.1)},
    "corrupted": ("daad", corrupted()),
    **{f"corrupted + r = {r}": ("daad", corrupted(patch=SIDE // r)) for r in (1, 2)},
    "corrupted daad+": ("daad+", corrupted()),
    "128 px": ("daad", fixed()),
    "details": ("daad", fixed(detail_sigma=4.0)),
    "r = 2 + details": ("daad", fixed(patch=32, detail_sigma=4.0)),
    "r = 2 + details + corrupted": ("daad", corrupted(patch=32, detail_sigma=4.0)),
    "r = 2 + details + no temperature": ("daad", fixed(patch=32, detail_sigma=4.0, temperature=None)),
    "r = 2 + details daad+": ("daad+", fixed(patch=32, detail_sigma=4.0)),
}
# What one seed showed to stay within the spread between seeds, or too far behind, to decide anything.
ONE_SEED = (
    *(f"r_c = {rc}" for rc in (2, 4)),
    *(f"N = {n}" for n in (25, 400)),
    "no temperature",
    *(f"temperature {t}" for t in (0.1, 0.01)),
    "shrinkage 1/N",
    *(f"{k} of 4 scales" for k in (1, 2, 3)),
    *(f"50 / {w} / {w}" for w in (1.0, 0.1)),
    "corrupted",
    *(f"corrupted + r = {r}" for r in (1, 2)),
    "corrupted daad+",
    "128 px",
    "details",
    "r = 2 + details daad+",
)
LARGE = {"128 px": 2}  # times SIZES
AXES: dict[str, tuple[str, ...]] = {
    "division rate r": ("r = 1", "r = 2", DAAD, "r = 8", "r = 16", "r = 32"),
    "channel rate r_c": (DAAD, "r_c = 2", "r_c = 4"),
    "memory items N": ("N = 25", DAAD, "N = 400"),
    "addressing": ("no temperature", "temperature 0.1", DAAD, "temperature 0.01", "shrinkage 1/N"),
    "addressing with r = 2 and details": ("r = 2 + details", "r = 2 + details + no temperature"),
    "scales with a memory": ("1 of 4 scales", "2 of 4 scales", "3 of 4 scales", DAAD),
    "adversarial terms": (DAAD, PLUS, "without L_adv", "without L_ali"),
    "weights rec / adv / ali": (PLUS, "50 / 0.1 / 0.1", "50 / 1.0 / 1.0"),
    "training on synthetic defects": (DAAD, "corrupted", "corrupted + r = 2", "corrupted + r = 1"),
    "the same for daad+": (PLUS, "corrupted daad+"),
    "image size": (DAAD, "128 px"),
    "the error's details": (DAAD, "details"),
    "the error's details, and synthetic defects, with r = 2": (
        "r = 2",
        "r = 2 + details",
        "r = 2 + details + corrupted",
    ),
    "the same for daad+ with r = 2": (PLUS, "r = 2 + details daad+"),
}
FIRST = AXES["division rate r"]  # every seed of the claim itself before the rest
READINGS: dict[str, dict[str, Any]] = {"localised": {}, "whole-image L2": PAPER, "maximum": MAXIMUM}
PLUS_READINGS: dict[str, dict[str, Any]] = {
    "localised": {},
    "whole-image L2": {**PAPER, **R_ALONE},
    "maximum": {**MAXIMUM, **R_ALONE},
    "paper, gamma 0.9": PAPER_PLUS,
    **{f"gamma {gamma}": {"gamma": gamma} for gamma in GAMMAS},
}


def jobs() -> list[Job]:
    """Granularity with all its seeds first, then the other variants, seed by seed."""
    first = product(SEEDS, FIRST, SIZES)
    rest = [
        (seed, name, category)
        for seed, name, category in product(SEEDS, VARIANTS, SIZES)
        if name not in FIRST and (seed == SEEDS[0] or name not in ONE_SEED)
    ]
    return [{"variant": variant, "category": category, "seed": seed} for seed, variant, category in (*first, *rest)]


def size_of(category: str, variant: str) -> tuple[int, int]:
    """(height, width) that a variant sees a category's images at."""
    height, width = SIZES[category]
    times = LARGE.get(variant, 1)
    return times * height, times * width


def measure(data: Path, job: Job) -> Row:
    """Fit one variant, read every score from its weights on the test images and on the held-out pairs."""
    from daad import Detector

    folder, size = folder_of(data, job["category"]), size_of(job["category"], job["variant"])
    model, settings = VARIANTS[job["variant"]]
    chosen = {**BASES[model], **settings(*size)}
    detector = Detector.fit(folder, model=model, preset="small", image_size=size, seed=job["seed"], **chosen)
    images, labels, cover = as_the_model_sees(folder, detector)
    pairs = held_out_pairs(folder, detector)
    readings = PLUS_READINGS if model == "daad+" else READINGS
    both = np.concatenate([pairs.good, pairs.defective])
    training = detector.provenance["training"]
    return {
        "image_auroc": aurocs(detector, readings, images, labels),
        "errors": pixel_errors(*(error_maps(detector, images[labels == k]) for k in (0, 1)), cover[labels == 1]),
        "held_out": {
            "image_auroc": aurocs(detector, readings, both, np.repeat([0, 1], len(pairs.good))),
            "errors": pixel_errors(*(error_maps(detector, i) for i in (pairs.good, pairs.defective)), pairs.cover),
            "images": len(pairs.good),
        },
        "memories": memories(detector.model),
        "config": detector.model.config.model_dump(mode="json"),
        "train_seconds": round(training["seconds"], 1),
        "last_losses": training["last_terms"],
    }


def as_the_model_sees(folder: Path, detector: Any) -> tuple[Ints, Any, Floats]:
    """The test images (N, h, w, C), their labels (N,) and the share of each pixel that the mask covers (N, h, w)."""
    from daad.data.decode import decode, decode_mask

    p, images, labels, cover = detector.preprocess, [], [], []
    for sample in test_samples(folder):
        image = decode(sample.image, name=sample.name)
        mask = np.zeros(image.shape[:2], bool)
        if sample.mask is not None:
            mask = decode_mask(sample.mask, shape=image.shape[:2], name=sample.name)
        images.append(p.apply(image))
        labels.append(sample.label)
        cover.append(coverage(mask, (p.height, p.width)))
    return np.stack(images), np.array(labels), np.stack(cover)


def aurocs(detector: Any, readings: dict[str, dict[str, Any]], images: Ints, labels: Any) -> dict[str, float]:
    """Image AUROC of every reading of the same weights."""
    return {
        name: round(auroc_of(labels, reading(detector, changes).score(images)), 5) for name, changes in readings.items()
    }


def memories(model: Any) -> list[dict[str, int]]:
    """N and D of each memory, finest scale first: N / D tells how much of the space of blocks the items can span."""
    from daad.nn.block_memory import BlockMemory

    found = [module for module in model.generator.bridges if isinstance(module, BlockMemory)]
    return [{"items": len(memory.items), "block_dim": memory.block_dim, "blocks": memory.blocks} for memory in found]


SUITE = Suite("sweep", ("variant", "category", "seed"), jobs(), measure)

if __name__ == "__main__":
    run_suite(SUITE, __doc__)
