"""Rows in units of their spread, learnt from all of them or from those that lie nearest."""

from __future__ import annotations

import torch

from daad.nn.spread import Spread


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
