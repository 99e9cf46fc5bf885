"""`class_only`: a class method that an instance refuses, with a word on what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from daad.errors import ConfigError

if TYPE_CHECKING:
    class_only = classmethod
else:

    class class_only(classmethod):  # noqa: N801 (a decorator)
        """`Detector.fit` makes a detector; called on one, it would leave that one as it was, which nobody expects."""

        def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., Any]:
            if instance is None:
                return super().__get__(instance, owner)
            name, method = type(instance).__name__, self.__func__.__name__

            def refuse(*_: Any, **__: Any) -> Any:
                raise ConfigError(
                    f"this {name} is fitted already, and stays as it is: write new = {name}.{method}(DATA), without an "
                    "instance before the dot"
                )

            return refuse
