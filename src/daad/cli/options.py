"""A command's options from the declarations of what it runs: names, types, defaults and help are spelt once, there.

declaration -> parameters of the command -> (--config file under the command line) -> what was chosen -> --print-config
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

import yaml
from cyclopts import Parameter

from daad.errors import ConfigError, closest

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from daad.detector.options import ModelPlan
    from daad.settings import Settings

Function = TypeVar("Function", bound=Callable[..., Any])

LENGTHS = ("steps", "epochs")
EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
OF_THE_MODEL: dict[str, tuple[Any, str]] = {  # settings of the model that have an option of their own
    "steps": (int | None, "Training steps, the dial for time. Default: the preset's."),
    "epochs": (int | None, "Passes over the images, in place of steps."),
    "features": (
        str | None,
        "What gives the feature maps, for models that stand on them: a name ('daad models features' lists them), "
        "timm/NAME, torchvision/NAME, or the path of a saved detector. Default: ccd.",
    ),
    "set": (
        list[str] | None,
        "A setting of the model as NAME=VALUE, such as division_rate=8, or of its features as features.NAME=VALUE "
        "('daad models NAME' lists them); may be repeated.",
    ),
}


def takes_options(
    *declared: type[Settings], leave_out: Sequence[str] = (), model: bool = True
) -> Callable[[Function], Function]:
    """Give a command of `**options` an option for every field of these classes, those of the model, and --config and
    --print-config."""

    def decorate(function: Function) -> Function:
        from daad.settings import options_of

        parameters = []
        for cls in declared:
            parameters += [_parameter(name, field) for name, field in options_of(cls).items()]
        if model:
            parameters += [_of_the_model(name) for name in OF_THE_MODEL]
            text = "A YAML file with any of these settings; the command line goes over it."
            parameters.append(_keyword("config", Path | None, None, Parameter(help=text)))
            text = "Print all settings as YAML, as they would be used, and stop."
            parameters.append(_flag("print_config", False, text))
        signature = inspect.signature(function, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        taken = {p.name for p in own} | set(leave_out)
        kept = [p for p in parameters if p.name not in taken]
        function.__signature__ = signature.replace(parameters=[*own, *kept])  # type: ignore[attr-defined]
        return function

    return decorate


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """A plan's option is None where it is not given, so that a file can give it; others have their default."""
    default, kind = field.default, field.annotation
    text = f"{(field.description or '')[:1].upper()}{(field.description or '')[1:]}."
    text = text.replace("image_size", "--image-size")
    if kind is bool:
        return _flag(name, default, text)
    if default is not None:
        text += f" Default: {default}."
    if tuple[int, int] in get_args(kind):
        return _keyword(name, list[int] | None, None, Parameter(help=text, consume_multiple=True, negative=()))
    return _keyword(name, kind if type(None) in get_args(kind) else kind | None, None, Parameter(help=text))  # type: ignore[operator]


def _of_the_model(name: str) -> inspect.Parameter:
    kind, text = OF_THE_MODEL[name]
    return _keyword(name if name != "set" else "set_", kind, None, Parameter(name=f"--{name}", help=text, negative=()))


def _flag(name: str, default: bool, text: str) -> inspect.Parameter:
    """--NAME, and --no-NAME where it is on by default."""
    parameter = Parameter(help=text, negative=None if default else (), show_default=False)
    return _keyword(name, bool, default, parameter)


def _keyword(name: str, kind: Any, default: Any, parameter: Parameter) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, parameter]
    )


def chosen_options(options: Mapping[str, Any], *declared: type[Settings]) -> dict[str, Any]:
    """What was chosen of these classes' options: the file's, with those of the command line over them; the settings of
    the model under `settings`."""
    from daad.settings import options_of

    names = [name for cls in declared for name in options_of(cls)]
    given = {name: side(options.get(name)) for name in names}
    direct = {name: options[name] for name in OF_THE_MODEL if options.get(name) is not None}
    given["settings"] = {**parse_assignments(options.get("set_") or []), **direct}
    return merged(read_config(options.get("config"), (*names, "settings", *LENGTHS, "features")), given)


def side(value: Any) -> Any:
    """A list of numbers from the command line as a plan takes it: one as it is, several as a tuple, none as None."""
    if not isinstance(value, list):
        return value
    return None if not value else value[0] if len(value) == 1 else tuple(value)


def read_config(path: Path | None, known: Sequence[str]) -> dict[str, Any]:
    """The settings of a YAML file; ConfigError for a missing or malformed file and for unknown keys."""
    if path is None:
        return {}
    try:
        content = _parsed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not valid YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected 'name: value' lines, found {type(content).__name__}")
    for name in content:
        if name not in known:
            hint = closest(str(name), known) or "; a setting of the model goes under 'settings:'"
            raise ConfigError(f"{path}: unknown setting {name!r}{hint}")
    settings = content.get("settings", {})
    if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
        raise ConfigError(f"{path}: 'settings' must hold 'name: value' lines")
    return content


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Model settings given as NAME=VALUE, each value read as YAML (8, 0.5, 1e-3, null, [4, 4, 1]); features.NAME goes
    under `feature_settings`."""
    parsed: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {assignment}: expected NAME=VALUE")
        key = name.strip().replace("-", "_")
        try:
            if key.startswith("features."):
                parsed.setdefault("feature_settings", {})[key.removeprefix("features.")] = _parsed(value)
            else:
                parsed[key] = _parsed(value)
        except ValueError:
            raise ConfigError(f"--set {assignment}: the value is not valid YAML") from None
    return parsed


def merged(file: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The file's settings with those given on the command line (not None) over them; model settings one by one.

    steps and epochs are two ways to say one thing, so that either of them goes over both.
    """
    over = {name: value for name, value in given.items() if value is not None}
    of_file, of_line = dict(file.get("settings", {})), over.get("settings", {})
    direct = (*LENGTHS, "features")
    of_file |= {name: file[name] for name in direct if name in file}
    if any(length in of_line for length in LENGTHS):
        of_file = {name: value for name, value in of_file.items() if name not in LENGTHS}
    top = {name: value for name, value in {**file, **over}.items() if name not in direct}
    return {**top, "settings": {**of_file, **of_line}}


def print_model_plan(plan: ModelPlan) -> None:
    """--print-config of a verb that learns a model: every option and setting as it would be used."""
    plan.check()
    everything = {name: getattr(plan, name) for name in plan.names()}
    print_yaml({**everything, "image_size": plan.size(), "settings": plan.all_settings()})


def require(data: str | None, output: Path | None, usage: str) -> tuple[str, Path]:
    """DATA and --output, which a verb needs unless it only prints its settings; ConfigError where one is missing."""
    if data is None or output is None:
        raise ConfigError(f"{'DATA' if data is None else '--output'} is missing: {usage}")
    return data, output


def print_yaml(values: Mapping[str, Any]) -> None:
    """Settings as YAML that --config reads."""
    import json

    print(yaml.safe_dump(json.loads(json.dumps(values)), sort_keys=False), end="")


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
