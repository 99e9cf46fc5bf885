"""Rows in units of their spread, learnt from all of them or from those that lie nearest."""

from __future__ import annotations

import pytest
import torch

from daad.models.mcod.whitening import Spread


def rows(odd: int) -> torch.Tensor:
    """200 rows about (1, 2, 3) with deviations 1, 0.8 and 0.6, the first `odd` of which are far off in the third."""
    torch.manual_seed(0)
    found = torch.randn(200, 3) * torch.tensor([1.0, 0.8, 0.6]) + torch.tensor([1.0, 2.0, 3.0])
    found[:odd, 2] += 9
    return found


def fitted(data: torch.Tensor, support_fraction: float) -> torch.Tensor:
    spread = Spread(3)
    spread.fit(data, support_fraction)
    return spread(data - spread.bias).square().sum(dim=1)


def test_rows_are_about_one_apart_from_their_middle_on_average() -> None:
    torch.testing.assert_close(fitted(rows(0), 1.0).mean(), torch.tensor(1.0), rtol=0.05, atol=0)


def test_odd_rows_hide_behind_the_spread_they_cause_unless_it_is_learnt_from_the_nearest() -> None:
    plain, robust = fitted(rows(30), 1.0), fitted(rows(30), 0.75)
    assert plain[:30].max() < plain[30:].max()
    assert robust[:30].min() > 5 * robust[30:].max()


def test_the_nearest_of_rows_that_are_all_one_are_some_of_them() -> None:
    assert torch.equal(fitted(torch.ones(20, 3), 0.75), torch.zeros(20))


def test_a_whole_share_is_the_plain_fit_and_a_share_of_few_is_two_at_least() -> None:
    assert torch.equal(fitted(rows(9), 0.999), fitted(rows(9), 1.0)) and fitted(rows(0)[:2], 0.5).isfinite().all()


def test_a_cluster_of_far_rows_does_not_widen_the_units_of_the_others() -> None:
    data = 0.004 * rows(0)
    data[:10, 0], data[10:16, 2] = 1.4, data[10:16, 2] + 0.03
    found = fitted(data, 0.75)
    assert found[:10].min() > found[10:16].max() and found[10:16].min() > 3 * found[16:].max()


@pytest.mark.parametrize("support_fraction", [1.0, 0.75])
def test_a_row_that_was_learnt_from_is_as_far_as_if_it_had_not_been(support_fraction: float) -> None:
    torch.manual_seed(0)
    data, whole = torch.randn(80, 16) * torch.linspace(0.2, 2, 16), Spread(16)
    whole.fit(data, support_fraction)
    seen = whole(data - whole.bias).square().sum(dim=1)
    learnt = seen.argsort()[: int(whole.count)]
    expected = seen.double()
    for row in learnt:
        others = Spread(16)
        others.fit(data[learnt[learnt != row]])
        expected[row] = others(data[row] - others.bias).square().sum()
    found = whole.unseen(seen)
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.02)
    assert (found[learnt] > seen[learnt]).all() and len(learnt) == 80 * support_fraction


def test_fewer_rows_than_dimensions_keep_the_odd_one_first() -> None:
    torch.manual_seed(0)
    data, spread = torch.randn(20, 64), Spread(64)
    data[7] *= 2
    spread.fit(data, 0.75)
    found = spread.unseen(spread(data - spread.bias).square().sum(dim=1))
    assert found.isfinite().all() and int(found.argmax()) == 7
