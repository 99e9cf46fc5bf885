"""What models, features and their settings declare, as Markdown; and types as the sources write them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy.typing as npt

from daad.boxes.options import OF_THE_DATA, BoxPlan
from daad.boxes.scod import SCOD
from daad.detector.options import SHAPE, FitPlan
from daad.features.registry import FEATURES, features_class
from daad.models.registry import BOXES, MODELS, model_class
from daad.presets import Preset

GIVEN_BY_NAME = ("saved", "module")  # features that have no settings of their own
ARRAY = re.compile(r"numpy\.ndarray\[(?:tuple\[)?typing\.Any(?:, \.\.\.\])?, (?:numpy\.dtype\[)?[a-z]+\.(\w+)\]?\]")
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def declarations() -> Iterator[str]:
    """Markdown of every model and all features, with their settings as preset small has them."""
    yield (
        "Every model and all features, with their settings. `Detector.fit(DATA, model=NAME, SETTING=VALUE)` takes "
        "those of a model, `Detector.fit(DATA, model=NAME, feature_settings={SETTING: VALUE})` those of its "
        "features; on the command line `--set SETTING=VALUE` and `--set features.SETTING=VALUE`."
    )
    for name, entry in MODELS.items():
        cls, used = model_class(name), FitPlan.make(model=name).all_settings()
        yield heading(f"Model {name}", f"{entry.summary}. Source: {entry.source}")
        yield table(cls.Config, used, (*SHAPE, "feature_settings"))  # the latter stand with the features
        yield presets(cls.presets)
        if entry.audit:
            yield f"In an audit: {assignments(entry.audit)}."
    yield heading(f"Model {BOXES}", "learns from labelled boxes: `BoxDetector.fit`, `daad boxes fit`")
    yield table(SCOD.Config, BoxPlan.make().all_settings(), OF_THE_DATA)
    yield presets(SCOD.presets)
    for name, entry in FEATURES.items():
        yield heading(f"Features {name}", entry.summary)
        if name not in GIVEN_BY_NAME:
            cls = features_class(name)
            yield table(cls.Config, cls.presets["small"].settings, SHAPE)
            yield presets({key: one for key, one in cls.presets.items() if one.settings or one.image_size})


def heading(title: str, text: str) -> str:
    return f"## {title}\n\n{text[:1].upper()}{text[1:]}."


def table(config: Any, used: Mapping[str, Any], left_out: Iterable[str]) -> str:
    """Each setting with its type and bounds, its value under preset small, and what it means."""
    rows = []
    for name, field in config.model_fields.items():
        if name not in left_out and not field.is_required():
            kind = f"`{short(field.annotation)}`".replace("|", "or")
            bounds = [f"{BOUNDS[key]} {value}" for one in field.metadata for key, value in bounds_of(one).items()]
            value = used.get(name, field.default)
            rows.append(f"| `{name}` | {', '.join([kind, *bounds])} | `{value!r}` | {field.description} |")
    return "\n".join(["| setting | type | small | meaning |", "|---|---|---|---|", *rows])


def bounds_of(constraint: Any) -> dict[str, Any]:
    """What pydantic keeps of `Field(ge=0, lt=1)`: a constraint each, with an attribute of that name."""
    return {key: getattr(constraint, key) for key in BOUNDS if hasattr(constraint, key)}


def presets(known: Mapping[str, Preset]) -> str:
    sizes = {name: {} if one.image_size is None else {"image_size": one.image_size} for name, one in known.items()}
    return "\n".join(f"- Preset {name}: {assignments({**sizes[name], **known[name].settings})}" for name in known)


def assignments(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}={value!r}`" for name, value in settings.items()) or "as above"


class Bare(str):
    """A text that stands in signatures without quotes."""

    __repr__ = str.__str__


def short(annotation: Any) -> Any:
    """A type as the sources write it; none stays none."""
    if annotation is inspect.Parameter.empty:
        return annotation
    if annotation == npt.ArrayLike:
        return Bare("ArrayLike")
    text = ARRAY.sub(r"NDArray[\1]", inspect.formatannotation(annotation))
    return Bare(re.sub(r"\b(typing|pathlib|collections\.abc)\.", "", text))
