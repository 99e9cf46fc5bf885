"""Where a command's settings come from: defaults, then a YAML file, then the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from daad.errors import ConfigError, closest


def read_config(path: Path | None, known: Sequence[str]) -> dict[str, Any]:
    """The settings of a YAML file; ConfigError for a missing or malformed file and for unknown keys."""
    if path is None:
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected 'name: value' lines, found {type(found).__name__}")
    for name in found:
        if name not in known:
            raise ConfigError(f"{path}: unknown setting {name!r}{closest(str(name), known)}")
    if not isinstance(found.get("settings", {}), dict):
        raise ConfigError(f"{path}: 'settings' must hold 'name: value' lines")
    return found


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Model settings given as NAME=VALUE, each value read as YAML (8, 0.5, null, [4, 4, 1])."""
    parsed = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {assignment}: expected NAME=VALUE")
        try:
            parsed[name.strip().replace("-", "_")] = tuples(yaml.safe_load(value))
        except yaml.YAMLError:
            raise ConfigError(f"--set {assignment}: the value is not valid YAML") from None
    return parsed


def tuples(value: Any) -> Any:
    """Lists as tuples, at any depth."""
    return tuple(tuples(item) for item in value) if isinstance(value, list) else value


def merged(file: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The file's settings with those given on the command line (not None) over them; model settings one by one."""
    settings = {**file.get("settings", {}), **given.get("settings", {})}
    over = {name: value for name, value in given.items() if value is not None}
    return {**file, **over, "settings": {name: tuples(value) for name, value in settings.items()}}
