"""Where the verbs may write: checked before any work is done, and nothing is lost that daad did not write itself."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from daad.data.generated_files import results_kind
from daad.errors import ConfigError

MOST_TOLD = 20


def check_output(path: Path, detector: Path | None, ours: Callable[[Path], bool]) -> None:
    """Refuse a file that cannot be written, lies inside the detector, or exists and is not `ours`. ConfigError."""
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; give the name of a file")
    if detector is not None and _within(path.resolve(), detector.resolve()):
        raise ConfigError(f"{path}: is part of the detector and would be written over; choose another output")
    if path.is_file() and not ours(path):
        raise ConfigError(f"{path}: already exists, and daad did not write it; choose another output")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Make a folder, and try whether files can be written to it. ConfigError."""
    if folder.is_file():
        raise ConfigError(f"{folder}: is a file, and a folder is needed; choose another output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / f".{secrets.token_hex(4)}.tmp"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written to ({error.strerror}); choose another output") from None


def check_results(folder: Path, kind: str, names: Sequence[str]) -> None:
    """Refuse a folder that cannot be written to, or where one of `names` stands that is not of an earlier run with
    results of the same kind. ConfigError."""
    taken = [name for name in names if (folder / name).exists()]
    earlier = results_kind(folder) if taken else None
    if taken and earlier != kind:
        whose = f"of another kind of results ({earlier})" if earlier else "that daad did not write"
        raise ConfigError(f"--output {folder}: holds {taken[0]} {whose}; choose another folder")
    check_folder(folder)


def is_own_coco(path: Path) -> bool:
    """Whether a file is COCO that daad wrote and that nobody saved again with another tool."""
    from daad.data.coco import DESCRIPTION

    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(body, dict) and body.get("info") == {"description": DESCRIPTION}


def _within(place: Path, detector: Path) -> bool:
    return place == detector or (detector.is_dir() and place.is_relative_to(detector))


def tell(prefix: str, lines: Sequence[str]) -> None:
    """Say these on stderr, the first twenty of them."""
    for line in lines[:MOST_TOLD]:
        print(f"{prefix}: {line}", file=sys.stderr)
    if len(lines) > MOST_TOLD:
        print(f"{prefix}: and {len(lines) - MOST_TOLD} more", file=sys.stderr)
