"""What a user gave, as JSON can hold it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic_core import PydanticSerializationError, to_jsonable_python

from daad.errors import ArtifactError


def jsonable(value: Any, key: str) -> Any:
    """`value` as dicts, lists, text and finite numbers: numpy scalars and arrays, tuples, paths and dates are turned.

    Raises ArtifactError that names the place under `key` for anything else.
    """
    if isinstance(value, Mapping):
        return {_text(name, key): jsonable(inner, f"{key}.{name}") for name, inner in value.items()}
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist(), key)
    if isinstance(value, list | tuple):
        return [jsonable(inner, f"{key}.{place}") for place, inner in enumerate(value)]
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return _finite(float(value), key)
    try:
        return to_jsonable_python(value)
    except (PydanticSerializationError, ValueError):
        raise _refusal(key, f"a {type(value).__name__}") from None


def _finite(value: float, key: str) -> float:
    if not math.isfinite(value):
        raise _refusal(key, str(value))
    return value


def _text(name: Any, key: str) -> str:
    if not isinstance(name, str | int | np.integer):
        raise _refusal(key, f"a {type(name).__name__} as a name")
    return str(name)


def _refusal(key: str, found: str) -> ArtifactError:
    return ArtifactError(f"{key} cannot be saved: found {found}; give text, finite numbers, lists or dicts of these")
