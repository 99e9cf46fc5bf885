"""Map a function over items in threads, a little ahead of the consumer: in order, with few results in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_order(work: Callable[[A], B], items: Iterable[A], *, workers: int, ahead: int) -> Iterator[B]:
    """The results of `work(item)` in the order of the items.

    Closing the iterator early cancels what has not begun, and does not wait for what has.

    Args:
        work: is called in several threads; what it raises is raised where its result is taken.
        items: what iterating them raises is raised after the results of all items before.
        workers: threads.
        ahead: so many items at most are taken before their results are asked for.
    """
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        futures = _submitted(pool, work, items)
        pending = deque(islice(futures, max(1, ahead)))
        while pending:
            result = pending.popleft().result()
            pending.extend(islice(futures, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _submitted(pool: ThreadPoolExecutor, work: Callable[[A], B], items: Iterable[A]) -> Iterator[Future[B]]:
    """A future for every item; an error in iterating the items is the last future's."""
    try:
        for item in items:
            yield pool.submit(work, item)
    except Exception as error:
        failed: Future[B] = Future()
        failed.set_exception(error)
        yield failed
