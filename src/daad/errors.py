"""Every error daad raises on purpose: each message names the file or field, what was found, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DaadError(Exception):
    """Base of all errors that daad raises on purpose; its text is written for the user."""


class ConfigError(DaadError, ValueError):
    """A setting is unknown, out of range, or does not fit the others."""


class DataError(DaadError):
    """A folder, list or manifest cannot be used as a data set."""


class ImageError(DaadError):
    """One image cannot be read or does not fit the detector; a batch records it and goes on."""


class ArtifactError(DaadError):
    """A saved detector or checkpoint is missing, truncated, tampered with, foreign or too new."""


class TrainingError(DaadError):
    """Training cannot go on, such as a loss term that is no longer finite."""


EXTRAS = {"torch": "train", "lightning_fabric": "train", "kornia": "train", "einops": "train", "matplotlib": "report"}


def how_to_install(error: ImportError) -> str | None:
    """What to install where a package of an extra is missing; None where another is."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return f"this needs {package}, which is not installed: pip install 'daad[{EXTRAS[package]}]'"


def closest(name: str, known: Iterable[str]) -> str:
    """A hint ' (did you mean ...?)' for an unknown name, or nothing when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
