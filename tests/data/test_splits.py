"""Held-out samples: nothing lost, groups kept together, the same whatever the order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daad.data.sample import Sample
from daad.data.splits import hold_out
from daad.errors import ConfigError, DataError

FEW = settings(max_examples=100, deadline=None)
fractions = st.floats(0.01, 0.99)


def samples(count: int, groups: list[str | None] | None = None) -> list[Sample]:
    return [Sample(b"", f"{i:03}.png", 0, group=groups[i] if groups else None) for i in range(count)]


def names(split: list[Sample]) -> list[str]:
    return [sample.name for sample in split]


@given(st.integers(2, 60), fractions, st.integers(0, 9))
@FEW
def test_ungrouped_split_has_the_asked_size_and_loses_nothing(count: int, fraction: float, seed: int) -> None:
    all_samples = samples(count)
    fit, held = hold_out(all_samples, fraction, seed)
    assert sorted(names(fit) + names(held)) == names(all_samples)
    assert len(held) == min(max(round(fraction * count), 1), count - 1)
    assert names(fit) == sorted(names(fit)) and names(held) == sorted(names(held))


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=2, max_size=30), fractions, st.integers(0, 9))
@FEW
def test_groups_stay_on_one_side(groups: list[str | None], fraction: float, seed: int) -> None:
    all_samples = samples(len(groups), groups)
    if len({g if g else i for i, g in enumerate(groups)}) < 2:
        with pytest.raises(DataError, match="all [0-9]+ images (belong to one group|have one name)|only one image"):
            hold_out(all_samples, fraction, seed)
        return
    fit, held = hold_out(all_samples, fraction, seed)
    assert fit and held and len(fit) + len(held) == len(all_samples)
    assert not {s.group for s in fit if s.group} & {s.group for s in held if s.group}


@given(st.integers(2, 40), fractions, st.randoms(use_true_random=False))
@FEW
def test_order_of_the_input_does_not_matter(count: int, fraction: float, rng: random.Random) -> None:
    all_samples = samples(count)
    shuffled = list(all_samples)
    rng.shuffle(shuffled)
    assert hold_out(all_samples, fraction, 3) == hold_out(shuffled, fraction, 3)


def test_seed_changes_the_draw() -> None:
    assert len({tuple(names(hold_out(samples(50), 0.2, seed)[1])) for seed in range(5)}) == 5


def test_every_sample_is_held_out_about_equally_often() -> None:
    counts = dict.fromkeys(names(samples(10)), 0)
    for seed in range(1000):
        for name in names(hold_out(samples(10), 0.2, seed)[1]):
            counts[name] += 1
    assert all(150 < count < 250 for count in counts.values())


def test_one_image_under_two_entries_is_not_on_both_sides() -> None:
    all_samples = samples(3) + samples(3)
    fit, held = hold_out(all_samples, 0.34, 0)
    assert not set(names(fit)) & set(names(held))


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_fraction_must_leave_something_on_both_sides(fraction: float) -> None:
    with pytest.raises(ConfigError, match="fraction="):
        hold_out(samples(4), fraction, 0)


@pytest.mark.parametrize(
    ("all_samples", "complaint"),
    [
        (samples(0), "found no image, and at least two are needed"),
        (samples(1), "found only one image, and at least two are needed"),
        (samples(3, ["left"] * 3), "all 3 images belong to one group, 'left'"),
        (samples(1) * 2, r"all 2 images have one name, '000\.png'"),
    ],
)
def test_what_cannot_be_split_is_refused_with_the_reason(all_samples: list[Sample], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        hold_out(all_samples, 0.5, 0)
