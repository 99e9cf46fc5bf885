"""`daad models`."""

from __future__ import annotations


def models(name: str | None = None, /) -> int:
    """List the models, or the settings and presets of one.

    Parameters
    ----------
    name
        A model; without it, all are listed.
    """
    from daad.models.registry import MODELS, model_class

    if name is None:
        width = max(map(len, MODELS))
        for key, entry in MODELS.items():
            print(f"{key:<{width}}  {entry.summary}  ({entry.source})")
        return 0
    cls = model_class(name)
    print(f"{name}: {MODELS[name].summary} ({MODELS[name].source})\n\nsettings (--set NAME=VALUE)")
    for key, field in cls.Config.model_fields.items():
        if not field.is_required():  # the image's shape is not set but found
            print(f"  {key} = {field.default!r}\n      {field.description or ''}")
    for key, chosen in cls.presets.items():
        settings = ", ".join(f"{k}={v}" for k, v in chosen.settings.items())
        print(f"\npreset {key}: image_size={chosen.image_size}, {settings}")
    return 0
