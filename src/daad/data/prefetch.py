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

    What `work` raises is raised where its result is taken, and what `items` raises after the results of all items
    before. Leaving early cancels what has not begun, and does not wait for what has.
    """
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        futures = _begun(pool, work, items)
        flying = deque(islice(futures, max(1, ahead)))
        while flying:
            result = flying.popleft().result()
            flying.extend(islice(futures, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begun(pool: ThreadPoolExecutor, work: Callable[[A], B], items: Iterable[A]) -> Iterator[Future[B]]:
    """A future for each item; an error of the items' source is the last one's result."""
    try:
        for item in items:
            yield pool.submit(work, item)
    except Exception as error:
        failed: Future[B] = Future()
        failed.set_exception(error)
        yield failed
