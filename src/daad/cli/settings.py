"""Where a command's settings come from: defaults, then a YAML file, then the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from daad.errors import ConfigError, closest

LENGTHS = ("steps", "epochs")
EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def read_config(path: Path | None, known: Sequence[str]) -> dict[str, Any]:
    """The settings of a YAML file; ConfigError for a missing or malformed file and for unknown keys."""
    if path is None:
        return {}
    try:
        found = _parsed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not valid YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected 'name: value' lines, found {type(found).__name__}")
    for name in found:
        if name not in known:
            hint = closest(str(name), known) or "; a setting of the model goes under 'settings:'"
            raise ConfigError(f"{path}: unknown setting {name!r}{hint}")
    settings = found.get("settings", {})
    if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
        raise ConfigError(f"{path}: 'settings' must hold 'name: value' lines")
    return found


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Model settings given as NAME=VALUE, each value read as YAML (8, 0.5, 1e-3, null, [4, 4, 1])."""
    parsed = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {assignment}: expected NAME=VALUE")
        try:
            parsed[name.strip().replace("-", "_")] = _parsed(value)
        except ValueError:
            raise ConfigError(f"--set {assignment}: the value is not valid YAML") from None
    return parsed


def merged(file: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The file's settings with those given on the command line (not None) over them; model settings one by one.

    steps and epochs are two ways to say one thing, so that either of them goes over both.
    """
    over = {name: value for name, value in given.items() if value is not None}
    of_file, of_line = dict(file.get("settings", {})), over.get("settings", {})
    for length in LENGTHS:
        if length in file:
            of_file[length] = file[length]
    if any(length in of_line for length in LENGTHS):
        of_file = {name: value for name, value in of_file.items() if name not in LENGTHS}
    top = {name: value for name, value in {**file, **over}.items() if name not in LENGTHS}
    return {**top, "settings": {**of_file, **of_line}}


def _parsed(text: str) -> Any:
    """YAML; what it cannot read is a ValueError. YAML 1.1 takes 1e-3 for a text: here it is a number."""
    try:
        return _numbers(yaml.safe_load(text))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, str) and EXPONENT.fullmatch(value):
        return float(value)
    return value
