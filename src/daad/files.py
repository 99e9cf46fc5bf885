"""Files that are whole or not there at all, whatever happens meanwhile; and one writer at a time in a folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daad.errors import TrainingError

try:
    import fcntl
except ImportError:  # a platform without it does without the lock
    fcntl = None  # type: ignore[assignment]


def write_synced(path: Path, content: bytes) -> None:
    """Write `content` and wait until it is on the disk: after a power cut a renamed file would else be empty."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def beside(path: Path, ending: str = "tmp") -> Path:
    """A hidden name next to `path` that nobody else uses: processes in two containers may have the same number."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{ending}")


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a reader, or a kill at any moment, finds the old file or the new one complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path)
    try:
        write_synced(temporary, content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
