"""Settings as frozen pydantic models: strict, nothing unknown, and a complaint is one sentence that names the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from daad.errors import ConfigError, closest


class Settings(BaseModel):
    """Base of everything a user may set. Frozen; unknown keys are refused; 5.0, "5" and True are not integers."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, strict=True)

    @classmethod
    def make(cls, **settings: Any) -> Self:
        """Build from settings, lists and numpy values included; a pydantic complaint becomes one ConfigError."""
        cls.check_known(settings)
        try:
            return cls(**{name: plain(value) for name, value in settings.items()})
        except ValidationError as error:
            raise _in_one_sentence(error) from None

    @classmethod
    def check_known(cls, settings: Mapping[str, Any]) -> None:
        """Raise ConfigError for the first setting that does not exist, with the nearest that does."""
        for name in settings:
            if name not in cls.model_fields:
                hint = closest(str(name), cls.model_fields)
                raise ConfigError(f"unknown setting {name!r}{hint}; known settings: {', '.join(cls.model_fields)}")


def plain(value: Any) -> Any:
    """numpy scalars as Python's, arrays and lists as tuples, at any depth; anything else as it is."""
    if hasattr(value, "tolist"):  # numpy's scalars and arrays, without importing it
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return value


def _in_one_sentence(error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    told = first.get("ctx", {}).get("error")
    if isinstance(told, ConfigError):
        return told
    where = str(first["loc"][0]) if first["loc"] else "settings"
    found = repr(first["input"])
    return ConfigError(f"{where}: {first['msg']}, found {found if len(found) <= 80 else found[:77] + '...'}")
