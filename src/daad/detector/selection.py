"""Which images, or which tiles of them, a fit prepares; and which are kept aside to be judged whole.

Enough images: some are held out whole, and the threshold is one of images. Few, or scenes too large to be judged whole:
tiles of all are prepared, blocks of them are held out, and the threshold is one of tiles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from daad.data.arrays import ImageInfo
from daad.data.cache import CachedImages
from daad.data.decode import MAX_PIXELS, probe
from daad.data.preprocess import Preprocess
from daad.data.sample import Failure, Sample
from daad.data.scenes import probe_scene
from daad.data.splits import hold_out
from daad.data.tiles import Tiling, Window, block_of, training_windows
from daad.detector.options import FitPlan, ModelPlan
from daad.errors import DataError, ImageError

STRAY = 0.1  # share of images of another kind that are left out; more is a mixture, and refused
FEW = 5  # images of which none can be spared to be held out whole


@dataclass(frozen=True)
class Readable:
    """Samples whose header could be read, each with it, and the others."""

    good: list[tuple[Sample, ImageInfo]]
    failures: list[Failure]


@dataclass(frozen=True)
class Selection:
    """What is prepared: samples, and of each the tiles (None: all of it); and `untiled`, samples kept from training to
    be judged as they are."""

    samples: list[Sample]
    windows: list[list[Window]] | None
    untiled: list[Sample]


def read_headers(samples: Sequence[Sample], tiling: Tiling | None) -> Readable:
    """Read the header of every image; one smaller than a tile, or of a number of channels that hardly any other has,
    cannot be used. Raises DataError if none can."""
    good: list[tuple[Sample, ImageInfo]] = []
    bad = []
    for sample in samples:
        try:
            header = probe(sample) if tiling is None else probe_scene(sample)
            if tiling is not None:
                tiling.grid(header.height, header.width, sample.name)
        except ImageError as error:
            bad.append(Failure(sample.name, str(error)))
        else:
            good.append((sample, header))
    if not good:
        raise DataError(f"none of the {len(samples)} images can be read; the first: {bad[0].reason}")
    common = _common_kind([header for _, header in good])
    for sample, header in good:
        if common and _kind(header) != common:
            reason = f"{sample.name}: has {header.channels} channels, and nearly all others {common}; convert it"
            bad.append(Failure(sample.name, reason))
    return Readable([item for item in good if not common or _kind(item[1]) == common], bad)


def _kind(header: ImageInfo) -> str:
    """What images must have in common: grey and RGB go together."""
    return "1 or 3" if header.channels in (1, 3) else str(header.channels)


def _common_kind(headers: Sequence[ImageInfo]) -> str | None:
    """The kind of nearly all images; None where there is no such kind, or no other."""
    kinds = Counter(map(_kind, headers)).most_common()
    return kinds[0][0] if len(kinds) > 1 and len(headers) - kinds[0][1] <= STRAY * len(headers) else None


def select(readable: Readable, plan: ModelPlan, preprocess: Preprocess) -> Selection:
    """Choose, by headers alone."""
    samples = [sample for sample, _ in readable.good]
    tiling = preprocess.tiles
    if tiling is None or not isinstance(plan, FitPlan):
        return Selection(samples, None, [])
    sizes = {id(sample): (header.height, header.width) for sample, header in readable.good}
    by_image = len(readable.good) >= FEW and all(height * width <= MAX_PIXELS for height, width in sizes.values())
    learned, untiled = hold_out(samples, plan.holdout, plan.seed) if by_image else (samples, [])
    tile_bytes = preprocess.height * preprocess.width * preprocess.channels * (2 if preprocess.dtype == "uint16" else 1)
    windows = training_windows(
        [sizes[id(sample)] for sample in learned], tiling, plan.seed, blocks=not by_image, tile_bytes=tile_bytes
    )
    return Selection(learned, windows, untiled)


def tile_samples(cached: CachedImages, tiling: Tiling) -> list[Sample]:
    """A sample a tile, to be held out by blocks, or by the groups that the user gave. DataError for one block."""
    tiles = []
    for sample, (top, left) in zip(cached.samples, cached.corners, strict=True):
        block = block_of(Window(top, left, tiling.height, tiling.width), tiling)
        group = sample.group if sample.group is not None else f"{sample.name} block {block}"
        tiles.append(Sample(None, f"{sample.name} row {top} column {left}", group=group))
    if len({tile.group for tile in tiles}) < 2:
        if cached.samples[0].group is not None:
            raise DataError(
                f"all images belong to one group, {cached.samples[0].group!r}, and what belongs together is not split: "
                "give others too, some are held out to set the threshold"
            )
        raise DataError(
            f"the images hold {len(tiles)} tiles side by side in one block, and other blocks are held out to set the "
            "threshold: give more or larger images, or a smaller tile"
        )
    return tiles
