"""Work done in threads a little ahead of whoever takes the results: in order, with few in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_order(work: Callable[[A], B], items: Iterable[A], *, workers: int, ahead: int) -> Iterator[B]:
    """`work(item)` of each item, in order; at most `ahead` items are taken before their results are asked for.

    What `work` raises is raised where its result is taken. Leaving early cancels what has not begun.
    """
    source = iter(items)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        flying: deque[Future[B]] = deque(pool.submit(work, item) for item in islice(source, max(1, ahead)))
        try:
            while flying:
                result = flying.popleft().result()
                flying.extend(pool.submit(work, item) for item in islice(source, 1))
                yield result
        finally:
            for future in flying:
                future.cancel()
