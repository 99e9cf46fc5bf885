"""One fit or search at a time in a run folder: two would write over each other's state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daad.errors import TrainingError

try:
    import fcntl
except ImportError:  # a platform without it does without the lock
    fcntl = None  # type: ignore[assignment]


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold `folder/lock` while working there; TrainingError where another process holds it. A killed holder lets go."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise TrainingError(
                    f"{folder}: another fit or search is running there; wait for it, or choose another output"
                ) from None
        yield
