"""Recognise what daad itself wrote into a folder of images, so that it is never taken for a data set."""

from __future__ import annotations

import json
from pathlib import Path

RESULTS_MARK = "daad-results.json"  # in a folder of results, written first
SEARCH, AUDIT, EVALUATION, BOXES = "search", "audit", "evaluation", "evaluation of boxes"  # kinds of results
_LOG_COLUMNS = b"stage,step,player,term"
PICTURE_KEY = "daad:image"  # of the first chunk after the header of a picture that daad made
_PICTURE_NAMES = ("_heat.png", "_overlay.png", "_boxes.png", "contact_sheet.png")
_PICTURE_CHUNK = b"iTXt" + PICTURE_KEY.encode() + b"\0"
_PICTURE_START = 256
_MARK_BYTES = 1000


def is_generated_folder(folder: Path) -> bool:
    """Whether a folder is a detector, the results of a search, or the `.run` folder of either."""
    try:
        if (folder / "manifest.json").is_file() and (folder / "weights.safetensors").is_file():
            return True
        if results_kind(folder) == SEARCH:
            return True
        return folder.suffix == ".run" and (
            (folder / "checkpoint.safetensors").is_file()
            or (folder / "cache" / "index.json").is_file()
            or _start(folder / "log.csv", len(_LOG_COLUMNS)) == _LOG_COLUMNS
        )
    except OSError:  # not readable: listing the folder reports it
        return False


def is_generated_picture(path: Path) -> bool:
    """Whether a file is a picture that daad made; only files named like one are opened."""
    return path.name.endswith(_PICTURE_NAMES) and _PICTURE_CHUNK in _start(path, _PICTURE_START)


def mark(folder: Path, kind: str) -> None:
    """Mark a folder, created if missing, as results of this kind that daad wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULTS_MARK).write_text(json.dumps({"kind": kind}) + "\n", encoding="utf-8")


def results_kind(folder: Path) -> str | None:
    """The kind of results that `mark` wrote into a folder; None for an unmarked one."""
    if not (folder / RESULTS_MARK).is_file():  # nothing is opened in a folder that may hold test images
        return None
    try:
        content = json.loads(_start(folder / RESULTS_MARK, _MARK_BYTES))
    except ValueError:
        return None
    kind = content.get("kind") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else None


def _start(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""
