"""What the reference documents, and whether its docstrings say what is so."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import daad
import daad.sklearn

FIRST = ("Detector", "load", "audit", "search", "BoxDetector", "models")  # then the rest by name


def public_names() -> dict[str, Any]:
    """What daad offers, by name; of a package that can be called, the function."""
    names = [*FIRST, *(name for name in daad.__all__ if name not in FIRST and name != "__version__")]
    found = {name: getattr(daad, name) for name in names}
    return {name: type(it).__call__ if isinstance(it, ModuleType) else it for name, it in found.items()}


def sklearn_names() -> dict[str, Any]:
    """What daad.sklearn offers."""
    return {"AnomalyDetector": daad.sklearn.AnomalyDetector}


def faults(public: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each public name without a docstring, and each entry of `Args:` that is no parameter."""
    for name, thing in public.items():
        if not thing.__doc__ or thing.__doc__.startswith(f"{name}("):  # which dataclass writes where there is none
            yield f"{name} has no docstring"
        for path, it in {name: thing, **methods(name, thing)}.items():
            explained = entries(inspect.cleandoc(it.__doc__ or ""))
            unknown = [entry for entry in explained if entry not in inspect.signature(it).parameters]
            yield from (f"{path}: Args explains {entry!r}, which is no parameter" for entry in unknown)


def methods(name: str, thing: Any) -> dict[str, Any]:
    """The public methods of a class, those of its bases in daad included, by their paths."""
    bases = thing.__mro__ if inspect.isclass(thing) else ()
    names = [key for base in bases if of_daad(base.__module__) for key in vars(base) if not key.startswith("_")]
    found = {f"{name}.{key}": getattr(thing, key) for key in names if hasattr(thing, key)}
    return {path: it for path, it in found.items() if inspect.isroutine(it)}


def of_daad(module: str) -> bool:
    """Whether a module is one of daad's."""
    return module.partition(".")[0] == "daad"


def entries(docstring: str) -> list[str]:
    """The names that the section `Args:` of a docstring explains."""
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)+)", docstring, re.MULTILINE)
    return re.findall(r"^    \**(\w+):", section[1], re.MULTILINE) if section else []
