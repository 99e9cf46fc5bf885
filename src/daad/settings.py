"""Settings as frozen pydantic models: strict, nothing unknown, and a complaint is one sentence that names the field."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from daad.errors import ConfigError, closest


class Settings(BaseModel):
    """Base of everything a user may set. Frozen; unknown keys are refused; 5.0, "5" and True are not integers."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, strict=True)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The fields in the order in which they are shown."""
        return tuple(cls.model_fields)

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
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        return cause
    where = str(first["loc"][0]) if first["loc"] else "settings"
    value = repr(first["input"])
    return ConfigError(f"{where}: {first['msg']}, found {value if len(value) <= 80 else value[:77] + '...'}")


Function = TypeVar("Function", bound=Callable[..., Any])


def options_of(declared: type[Settings]) -> dict[str, FieldInfo]:
    """The fields that a user may give, which are those with a description, but for `settings`: the model's own."""
    fields = declared.model_fields
    return {name: fields[name] for name in declared.names() if fields[name].description and name != "settings"}


def takes(*declared: type[Settings]) -> Callable[[Function], Function]:
    """Give a function of `**options` the options of these classes, in its signature and, where its docstring has a line
    `{options}`, in its list of arguments: they are declared once, and say so everywhere."""

    def decorate(function: Function) -> Function:
        fields = {name: field for cls in declared for name, field in options_of(cls).items()}
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        given = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.annotation)
            for name, field in fields.items()
            if name not in signature.parameters
        ]
        rest = [inspect.Parameter("settings", inspect.Parameter.VAR_KEYWORD, annotation=Any)]
        takes_settings = any("settings" in cls.model_fields for cls in declared)
        function.__signature__ = signature.replace(parameters=[*own, *given, *(rest if takes_settings else [])])  # type: ignore[attr-defined]
        lines = [f"{name}: {field.description}. Default: {field.default!r}." for name, field in fields.items()]
        doc = inspect.cleandoc(function.__doc__ or "")
        function.__doc__ = doc.replace("    {options}", textwrap.indent("\n".join(lines), "    "))
        return function

    return decorate


def split(options: Mapping[str, Any], *declared: type[Settings]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Options as each class takes them, and the rest, which are the model's settings."""
    parts = [{name: options[name] for name in options_of(cls) if name in options} for cls in declared]
    taken = {name for part in parts for name in part}
    return parts, {name: value for name, value in options.items() if name not in taken}
