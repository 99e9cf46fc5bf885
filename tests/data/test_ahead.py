"""Threads ahead of the taker: order, bounds, errors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest

from daad.data.ahead import in_order


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (2, 4), (4, 100)])
def test_results_come_in_the_order_of_the_items(workers: int, ahead: int) -> None:
    assert list(in_order(lambda n: n * n, range(50), workers=workers, ahead=ahead)) == [n * n for n in range(50)]


def test_an_endless_source_is_taken_only_a_little_ahead() -> None:
    taken = 0

    def source() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    assert list(islice(in_order(str, source(), workers=2, ahead=5), 3)) == ["1", "2", "3"]
    assert taken <= 3 + 5


def test_an_error_is_raised_where_its_result_is_taken() -> None:
    results = in_order(lambda n: 1 // n, [1, 0, 1], workers=2, ahead=3)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
