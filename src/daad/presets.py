"""Named starting points of models and features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from daad.errors import ConfigError, closest


@dataclass(frozen=True)
class Preset:
    """The image size (None: no preference) and the settings that differ from the config's defaults."""

    image_size: int | None
    settings: Mapping[str, Any] = field(default_factory=dict)


def preset_of(presets: Mapping[str, Preset], name: str) -> Preset:
    """A preset by name; ConfigError with the known names otherwise."""
    if name not in presets:
        raise ConfigError(f"unknown preset {name!r}{closest(name, presets)}; known: {', '.join(presets)}")
    return presets[name]


def over_preset(chosen: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's settings, overridden by a user's. A user's `steps` drop the preset's `epochs`, and the reverse."""
    merged = {**chosen, **settings}
    for given, other in (("steps", "epochs"), ("epochs", "steps")):
        if settings.get(given) is not None and other not in settings:
            merged.pop(other, None)
    return merged
