"""Whitening, fitted to all rows or to the nearest of them."""

from __future__ import annotations

import pytest
import torch

from daad.models.mcod.whitening import Whitening


def rows(outliers: int) -> torch.Tensor:
    """200 rows about (1, 2, 3) with deviations 1, 0.8 and 0.6; the first are outliers in the third dimension."""
    torch.manual_seed(0)
    data = torch.randn(200, 3) * torch.tensor([1.0, 0.8, 0.6]) + torch.tensor([1.0, 2.0, 3.0])
    data[:outliers, 2] += 9
    return data


def distances_of(data: torch.Tensor, support_fraction: float) -> torch.Tensor:
    whitening = Whitening(3)
    whitening.fit(data, support_fraction)
    return whitening(data - whitening.bias).square().sum(dim=1)


def test_the_squared_distance_of_fitted_rows_is_about_one_on_average() -> None:
    torch.testing.assert_close(distances_of(rows(0), 1.0).mean(), torch.tensor(1.0), rtol=0.05, atol=0)


def test_outliers_are_masked_by_the_plain_fit_and_not_by_the_robust_one() -> None:
    plain, robust = distances_of(rows(30), 1.0), distances_of(rows(30), 0.75)
    assert plain[:30].max() < plain[30:].max()
    assert robust[:30].min() > 5 * robust[30:].max()


def test_equal_rows_have_distance_zero_by_the_robust_fit() -> None:
    assert torch.equal(distances_of(torch.ones(20, 3), 0.75), torch.zeros(20))


def test_a_support_of_all_rows_is_the_plain_fit_and_the_smallest_support_is_two_rows() -> None:
    assert torch.equal(distances_of(rows(9), 0.999), distances_of(rows(9), 1.0))
    assert distances_of(rows(0)[:2], 0.5).isfinite().all()


def test_a_cluster_of_far_outliers_does_not_mask_near_ones() -> None:
    data = 0.004 * rows(0)
    data[:10, 0], data[10:16, 2] = 1.4, data[10:16, 2] + 0.03
    distances = distances_of(data, 0.75)
    assert distances[:10].min() > distances[10:16].max() and distances[10:16].min() > 3 * distances[16:].max()


@pytest.mark.parametrize("support_fraction", [1.0, 0.75])
def test_leave_one_out_distances_equal_those_of_fits_without_the_row(support_fraction: float) -> None:
    torch.manual_seed(0)
    data, whitening = torch.randn(80, 16) * torch.linspace(0.2, 2, 16), Whitening(16)
    whitening.fit(data, support_fraction)
    distances = whitening(data - whitening.bias).square().sum(dim=1)
    support = distances.argsort()[: int(whitening.count)]
    expected = distances.double()
    for row in support:
        others = Whitening(16)
        others.fit(data[support[support != row]])
        expected[row] = others(data[row] - others.bias).square().sum()
    corrected = whitening.leave_one_out(distances)
    torch.testing.assert_close(corrected, expected, rtol=0.03, atol=0.02)
    assert (corrected[support] > distances[support]).all() and len(support) == 80 * support_fraction


def test_with_fewer_rows_than_dimensions_the_outlier_has_the_largest_leave_one_out_distance() -> None:
    torch.manual_seed(0)
    data, whitening = torch.randn(20, 64), Whitening(64)
    data[7] *= 2
    whitening.fit(data, 0.75)
    distances = whitening.leave_one_out(whitening(data - whitening.bias).square().sum(dim=1))
    assert distances.isfinite().all() and int(distances.argmax()) == 7
