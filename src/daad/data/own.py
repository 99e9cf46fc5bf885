"""Tell what daad itself wrote into a folder of images, so that it is never taken for a data set."""

from __future__ import annotations

from pathlib import Path

SEARCH_MARK = "daad-search.json"  # in what a search writes, before anything else
_LOG_COLUMNS = b"stage,step,player,term"
_PICTURE_KEY = b"iTXtdaad:image\0"  # the first chunk after the header of a picture by daad.report.heat
_PICTURE_START = 256


def is_own_folder(folder: Path) -> bool:
    """Whether a folder is a detector, what a search found, or the `.run` folder of either."""
    try:
        if (folder / "manifest.json").is_file() and (folder / "weights.safetensors").is_file():
            return True
        if (folder / SEARCH_MARK).is_file():
            return True
        return folder.suffix == ".run" and (
            (folder / "checkpoint.safetensors").is_file()
            or (folder / "cache" / "index.json").is_file()
            or (folder / SEARCH_MARK).is_file()
            or _start(folder / "log.csv", len(_LOG_COLUMNS)) == _LOG_COLUMNS
        )
    except OSError:  # not allowed to look inside: whoever lists the folder says so
        return False


def is_own_picture(path: Path) -> bool:
    """Whether a file is a heat map, an overlay or an image with boxes drawn; only files named like one are opened."""
    return path.name.endswith(("_heat.png", "_overlay.png", "_boxes.png")) and _PICTURE_KEY in _start(
        path, _PICTURE_START
    )


def _start(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""
