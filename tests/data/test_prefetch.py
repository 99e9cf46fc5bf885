"""Threads that work ahead of the consumer: order, bounds, errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice

import pytest

from daad.data.prefetch import in_order


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


@pytest.mark.parametrize(("count", "ahead"), [(0, 4), (2, 4), (9, 4), (4, 1)])
def test_an_error_of_the_source_comes_after_the_results_before_it(count: int, ahead: int) -> None:
    def source() -> Iterator[int]:
        yield from range(count)
        raise ConnectionError("the camera is gone")

    results = in_order(lambda n: n * n, source(), workers=2, ahead=ahead)
    assert list(islice(results, count)) == [n * n for n in range(count)]
    with pytest.raises(ConnectionError, match="camera"):
        next(results)


def test_closing_early_waits_for_nothing_and_begins_nothing_more() -> None:
    release, begun = threading.Event(), list[int]()

    def work(n: int) -> int:
        begun.append(n)
        assert n == 0 or release.wait(30)
        return n

    results = in_order(work, range(100), workers=1, ahead=10)
    closing = threading.Thread(target=results.close)  # type: ignore[attr-defined]
    try:
        assert next(results) == 0
        closing.start()
        closing.join(10)
        assert not closing.is_alive()
    finally:
        release.set()
    assert begun in ([0], [0, 1])
