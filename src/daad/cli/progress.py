"""A progress bar on stderr with an estimate of the time left; plain lines where stderr is no terminal."""

from __future__ import annotations

import sys
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

LINES_PER_PHASE = 10
PHASES = {
    "read": "reading images",
    "train": "learning",
    "rank": "ranking",
    "calibrate": "calibrating",
    "evaluate": "evaluating",
    "predict": "judging",
    "search": "searching",
}


class ProgressBar:
    """Called with (phase, done, total) as work goes on; a context manager."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._bar = Progress(
            TextColumn("{task.description:<15}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, tuple[float, int]] = {}
        self._shown: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, phase: str, done: int, total: int, /) -> None:
        first_time, first_done = self._started.setdefault(phase, (monotonic(), done))
        left = time_left(monotonic() - first_time, done - first_done, total - done)
        name = PHASES.get(phase, phase)
        if phase not in self._tasks:
            self._tasks[phase] = self._bar.add_task(name, total=total, left="")
        self._bar.update(self._tasks[phase], completed=done, left=left)
        if not self._live:
            self._line(phase, name, done, total, left)

    def _line(self, phase: str, name: str, done: int, total: int, left: str) -> None:
        part = LINES_PER_PHASE * done // max(total, 1)
        if part > self._shown.get(phase, 0):
            self._shown[phase] = part
            print(f"{name}: {done}/{total}{', ' + left if left else ''}", file=sys.stderr, flush=True)


def time_left(seconds: float, done: int, remaining: int) -> str:
    """'about 2:05 left' from the mean pace so far, or nothing before there is a pace or when all is done."""
    if done <= 0 or remaining <= 0:
        return ""
    estimate = round(seconds / done * remaining)
    return f"about {estimate // 60}:{estimate % 60:02d} left"
