"""Block-wise memory against the paper's equations."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from daad import ConfigError
from daad.nn.block_memory import BlockMemory, addressing_entropy, assemble, divide, legal_rates, shrink

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda s: st.tuples(st.just(s), st.tuples(*(st.integers(1, 3) for _ in range(3))))
)


def block_memory(items: int = 20, rate: tuple[int, int, int] = (2, 2, 1), **options: float) -> BlockMemory:
    torch.manual_seed(0)
    return BlockMemory(4, 8, 8, rate, items, **options)


@given(SHAPES)
def test_assemble_undoes_divide_exactly(case: tuple[tuple[int, int, int, int], tuple[int, int, int]]) -> None:
    (batch, rh, rw, rc), (h, w, c) = case
    x = torch.randn(batch, rc * c, rh * h, rw * w)
    blocks = divide(x, (rh, rw, rc))
    assert blocks.shape == (batch * rh * rw * rc, h * w * c)
    assert torch.equal(assemble(blocks, (rh, rw, rc), rc * c, rh * h, rw * w), x)


def test_divide_equals_a_permutation_of_axes() -> None:
    x = torch.randn(2, 6, 8, 4)
    rh, rw, rc = 4, 2, 3
    by_axes = x.view(2, rc, 2, rh, 2, rw, 2).permute(0, 3, 5, 1, 2, 4, 6).reshape(2 * rh * rw * rc, 8)
    assert torch.equal(divide(x, (rh, rw, rc)), by_axes)


def test_the_numbers_of_blocks_and_their_length_follow_the_formulas() -> None:
    memory = BlockMemory(8, 16, 32, (4, 8, 2), 10)
    assert (memory.blocks, memory.block_dim) == (4 * 8 * 2, 8 * 16 * 32 // (4 * 8 * 2))
    assert memory.items.shape == (10, memory.block_dim)


@pytest.mark.parametrize("rate", [(3, 1, 1), (1, 3, 1), (1, 1, 3), (0, 1, 1), (16, 1, 1)])
def test_a_rate_that_does_not_divide_is_refused_with_the_legal_ones(rate: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match=r"legal values of r_[hwc]: 1, 2, 4"):
        BlockMemory(4, 8, 8, rate, 10)


def test_legal_rates_are_the_divisors() -> None:
    assert legal_rates(12) == [1, 2, 3, 4, 6, 12]


def test_weights_sum_to_one_and_lie_within_the_bounds_of_a_plain_softmax_of_cosines() -> None:
    weights = block_memory(items=20).address(torch.randn(50, 64))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(50))
    n, e2 = 20, math.e**2
    assert weights.min() >= 1 / (1 + (n - 1) * e2)
    assert weights.max() <= e2 / (e2 + n - 1)
    assert (weights.amax(dim=1) / weights.amin(dim=1)).max() <= e2


def test_addressing_is_the_softmax_of_cosines() -> None:
    memory = block_memory(temperature=0.2)
    queries = torch.randn(7, 64)
    cosines = torch.nn.functional.cosine_similarity(queries[:, None], memory.items[None], dim=2)
    torch.testing.assert_close(memory.address(queries), torch.softmax(cosines / 0.2, dim=1))


def test_the_read_is_a_mixture_of_raw_items_and_ignores_the_scale_of_a_query() -> None:
    memory = block_memory()
    x = torch.randn(2, 4, 8, 8)
    rebuilt, weights = memory.read(x)
    expected = assemble(weights @ (memory.gain * memory.items), (2, 2, 1), 4, 8, 8)
    torch.testing.assert_close(rebuilt, expected)
    torch.testing.assert_close(memory(5 * x), rebuilt, rtol=1e-4, atol=1e-5)


def test_scaling_an_item_leaves_the_weights_but_changes_the_read() -> None:
    memory = block_memory()
    x = torch.randn(2, 4, 8, 8)
    before, weights = memory.read(x)
    with torch.no_grad():
        memory.items[3] *= 4
    after, same = memory.read(x)
    torch.testing.assert_close(weights, same)
    assert not torch.allclose(before, after)


def test_the_initial_read_is_neither_faint_nor_constant() -> None:
    """Without gain and centring the plain softmax returns one faint pattern for every query."""
    for temperature in (1.0, 0.1, 0.03):
        memory = BlockMemory(16, 16, 16, (4, 4, 1), 100, temperature=temperature)
        x = torch.randn(8, 16, 16, 16)
        rebuilt = divide(memory(x), (4, 4, 1))
        assert 0.3 < rebuilt.std() < 5
        assert rebuilt.var(dim=0).mean() > 0.5 * rebuilt.var()


def test_one_block_a_pixel_is_the_pixel_wise_memory() -> None:
    memory = BlockMemory(4, 3, 5, (3, 5, 1), 7)
    x = torch.randn(2, 4, 3, 5)
    pixel = x[1, :, 2, 4]
    expected = memory.gain * memory.address(pixel[None]) @ memory.items
    torch.testing.assert_close(memory(x)[1, :, 2, 4], expected[0])


def test_shrinkage_zeroes_small_weights_and_rescales_the_rest() -> None:
    weights = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    shrunk = shrink(weights, 0.15)
    torch.testing.assert_close(shrunk[0], torch.tensor([0.7 / 0.9, 0.2 / 0.9, 0.0]))
    assert shrunk[0, 2] == 0
    torch.testing.assert_close(shrunk.sum(dim=1), torch.ones(2))
    assert torch.equal(shrink(weights, 0.9), torch.zeros(2, 3))


def test_shrunk_weights_match_the_formula_of_memae() -> None:
    weights = torch.softmax(torch.randn(5, 9), dim=1)
    threshold, eps = 1 / 9, 1e-12
    s = (weights - threshold).clamp_min(0) * weights / ((weights - threshold).abs() + eps)
    torch.testing.assert_close(shrink(weights, threshold), s / s.sum(dim=1, keepdim=True))


def test_entropy_of_one_hot_weights_is_zero_and_of_equal_ones_is_log_n() -> None:
    assert addressing_entropy(torch.eye(4)) == pytest.approx(0, abs=1e-6)
    assert addressing_entropy(torch.full((3, 8), 1 / 8)) == pytest.approx(math.log(8), abs=1e-5)
