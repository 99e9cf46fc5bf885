"""How the progress of work is reported."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as work goes on: the phase ("read", "train", "calibrate", "evaluate", ...), what is done, of how much."""

    def __call__(self, phase: str, done: int, total: int, /) -> None: ...


def silent(phase: str, done: int, total: int, /) -> None:
    """No progress is asked for."""
