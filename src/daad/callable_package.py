"""A package that can be called as its verb: `daad.audit(...)` works, although `daad.audit` is also where it lives.

Python puts an imported sub-package in the place of a function of the same name; so the package itself takes the call.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def make_callable(name: str, function: Callable[..., Any]) -> None:
    """Let the package `name` be called; its help and signature are those of `function`."""

    class CallablePackage(ModuleType):
        __call__ = staticmethod(function)
        __signature__ = inspect.signature(function)

    sys.modules[name].__class__ = CallablePackage
