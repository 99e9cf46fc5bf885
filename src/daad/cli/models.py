"""`daad models`."""

from __future__ import annotations

from typing import Any


def models(name: str | None = None, /) -> int:
    """List the models, or the settings and presets of one.

    Parameters
    ----------
    name
        A model; without it, all are listed.
    """
    from daad.models.registry import BOX_MODELS, MODELS, model_class, named

    if name is None:
        _list(MODELS)
        print("\nlearning from labelled boxes (daad boxes fit):")
        _list(BOX_MODELS)
        return 0
    cls = named(BOX_MODELS[name]) if name in BOX_MODELS else model_class(name)
    entry = {**MODELS, **BOX_MODELS}[name]
    print(f"{name}: {entry.summary} ({entry.source})\n\nsettings (--set NAME=VALUE)")
    for key, field in cls.Config.model_fields.items():
        if not field.is_required():  # the image's shape is not set but found
            print(f"  {key} = {field.default!r}\n      {field.description or ''}")
    for key, chosen in cls.presets.items():
        settings = ", ".join(f"{k}={v}" for k, v in chosen.settings.items())
        print(f"\npreset {key}: image_size={chosen.image_size}, {settings}")
    if other := getattr(cls, "pool_settings", None):
        print("\nin an audit: " + ", ".join(f"{k}={v}" for k, v in other.items()))
    return 0


def _list(entries: dict[str, Any]) -> None:
    width = max(map(len, entries))
    for key, entry in entries.items():
        print(f"{key:<{width}}  {entry.summary}  ({entry.source})")
