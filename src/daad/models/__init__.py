"""One module per published system, readable beside its paper. `daad.models()` lists them."""

from __future__ import annotations

from daad.callable_package import make_callable


def models() -> dict[str, str]:
    """The names of all models, each with one line on what it is."""
    from daad.models.registry import MODELS

    return {name: entry.summary for name, entry in MODELS.items()}


make_callable(__name__, models)
