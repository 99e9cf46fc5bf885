"""Hold normal images back from training, so that calibration uses images that were not learned."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from daad.data.sample import Sample
from daad.errors import ConfigError, DataError

UnitKey = tuple[str, str]  # ("group", group) or ("name", name)


def hold_out(samples: Sequence[Sample], fraction: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Split samples into (fit, calibration), with about `fraction` of them in calibration, both sorted by name.

    Samples of one `group`, and samples of one name, stay on one side; neither side is ever empty. Which side a sample
    goes to depends on names, groups and seed alone, not on the order of the input.
    Raises ConfigError unless 0 < fraction < 1, and DataError with fewer than two samples or groups.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"fraction={fraction!r}: the share held out must lie between 0 and 1, such as 0.2")
    units = _units(samples)
    if len(units) < 2:
        raise DataError(_too_few_message(samples))
    keys = sorted(units, key=lambda key: _hash(key, seed))
    held_out = _choose({key: len(units[key]) for key in keys}, round(fraction * len(samples)))
    fit = [sample for key in keys if key not in held_out for sample in units[key]]
    calibration = [sample for key in keys if key in held_out for sample in units[key]]
    return _by_name(fit), _by_name(calibration)


def _too_few_message(samples: Sequence[Sample]) -> str:
    needed = "some images are learned from and others are held out to set the threshold"
    if len(samples) < 2:
        count = "only one image" if samples else "no image"
        return f"found {count}, and at least two are needed: {needed}"
    first = samples[0]
    shared = f"have one name, {first.name!r}" if first.group is None else f"belong to one group, {first.group!r}"
    return f"all {len(samples)} images {shared}, and what belongs together is not split; give others too: {needed}"


def _units(samples: Sequence[Sample]) -> dict[UnitKey, list[Sample]]:
    """What must stay together: the samples of each group, or of one name where there is no group."""
    units: dict[UnitKey, list[Sample]] = {}
    for sample in samples:
        key = ("name", sample.name) if sample.group is None else ("group", sample.group)
        units.setdefault(key, []).append(sample)
    return units


def _hash(key: UnitKey, seed: int) -> bytes:
    """A hash orders the units at random, the same with every version of every library."""
    return hashlib.sha256("\0".join((str(seed), *key)).encode("utf-8", "surrogatepass")).digest()


def _choose(sizes: dict[UnitKey, int], target: int) -> set[UnitKey]:
    """Take units in turn while that comes closer to `target` samples; at least one is taken and one is left."""
    chosen: set[UnitKey] = set()
    count = 0
    for key, size in sizes.items():
        is_closer = abs(count + size - target) < abs(count - target)
        if is_closer and len(chosen) + 1 < len(sizes):
            chosen.add(key)
            count += size
    return chosen or {min(sizes, key=lambda key: sizes[key])}


def _by_name(samples: list[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda sample: sample.name)
