"""Where `daad detect` may write: told before any work is done, and nothing is lost that daad did not write itself."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from daad.errors import ConfigError

MOST_TOLD = 20


def check_output(path: Path, detector: Path, ours: Callable[[Path], bool]) -> None:
    """Refuse a file that cannot be written, lies inside the detector, or exists and is not `ours`. ConfigError."""
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; give the name of a file")
    place, within = path.resolve(), detector.resolve()
    if place == within or (within.is_dir() and place.is_relative_to(within)):
        raise ConfigError(f"{path}: is part of the detector and would be written over; choose another output")
    if path.exists() and not ours(path):
        raise ConfigError(f"{path}: already exists, and daad did not write it; choose another output")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Make a folder, and try whether files can be written to it. ConfigError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / f".{secrets.token_hex(4)}.tmp"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written to ({error.strerror}); choose another output") from None


def is_own_coco(path: Path) -> bool:
    """Whether a file is COCO that daad wrote and that nobody saved again with another tool."""
    from daad.data.coco import DESCRIPTION

    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(body, dict) and body.get("info") == {"description": DESCRIPTION}


def tell(prefix: str, lines: Sequence[str]) -> None:
    """Say these on stderr, the first twenty of them."""
    for line in lines[:MOST_TOLD]:
        print(f"{prefix}: {line}", file=sys.stderr)
    if len(lines) > MOST_TOLD:
        print(f"{prefix}: and {len(lines) - MOST_TOLD} more", file=sys.stderr)
