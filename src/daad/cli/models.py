"""`daad models`."""

from __future__ import annotations

from typing import Any


def models(name: str | None = None, /) -> int:
    """List the models, or the settings and presets of one.

    Parameters
    ----------
    name
        A model, or features of `daad models features`; without a name all models are listed.
    """
    from daad.errors import ConfigError
    from daad.features.registry import FEATURES
    from daad.models.registry import BOXES, MODELS, ON_FEATURES

    if name is None:
        _list({key: f"{entry.summary}  ({entry.source})" for key, entry in MODELS.items()})
        print(f"\non features of your choice (--features, 'daad models features'): {', '.join(ON_FEATURES)}")
        print("\nlearning from labelled boxes (daad boxes fit):")
        print(f"{BOXES}  single-shot detector aware of scales  (Wang et al., arXiv 2108.11021)")
    elif name == "features":
        _list({key: entry.summary for key, entry in FEATURES.items()})
    elif name == BOXES:
        _of_boxes()
    elif name in FEATURES:
        _of_features(name)
    else:
        try:
            _of_model(name)
        except ConfigError as error:
            raise ConfigError(f"{error}; features: {', '.join(FEATURES)}") from None
    return 0


def _list(lines: dict[str, str]) -> None:
    width = max(map(len, lines))
    for key, text in lines.items():
        print(f"{key:<{width}}  {text}")


def _of_model(name: str) -> None:
    from daad.detector.options import FitPlan
    from daad.models.registry import MODELS, ON_FEATURES, model_class

    cls, entry = model_class(name), MODELS[name]
    print(f"{name}: {entry.summary} ({entry.source})")
    used = FitPlan.make(model=name).all_settings()
    if name in ON_FEATURES:
        own = used.pop("feature_settings")
        _settings(cls.Config, used, leave_out=("feature_settings",))
        print("\nsettings of features ccd (--set features.NAME=VALUE)")
        from daad.features.registry import features_class

        _fields(features_class("ccd").Config, own)
    else:
        _settings(cls.Config, used)
    _presets(cls.presets)
    if entry.audit:
        print("\nin an audit: " + ", ".join(f"{key}={value}" for key, value in entry.audit.items()))


def _of_features(name: str) -> None:
    from daad.features.registry import FEATURES, features_class

    cls = features_class(name)
    print(f"features {name}: {FEATURES[name].summary}\n\nsettings (--set features.NAME=VALUE)")
    _fields(cls.Config, dict(cls.presets["small"].settings))
    _presets({key: preset for key, preset in cls.presets.items() if preset.settings or preset.image_size})


def _of_boxes() -> None:
    from daad.boxes.options import OF_THE_DATA, BoxPlan
    from daad.boxes.scod import SCOD

    print("scod: single-shot detector aware of scales (Wang et al., arXiv 2108.11021)")
    _settings(SCOD.Config, BoxPlan.make().all_settings(), leave_out=OF_THE_DATA)
    _presets(SCOD.presets)


def _settings(config: Any, used: dict[str, Any], leave_out: tuple[str, ...] = ()) -> None:
    print("\nsettings with preset small (--set NAME=VALUE)")
    _fields(config, used, leave_out)


def _fields(config: Any, used: dict[str, Any], leave_out: tuple[str, ...] = ()) -> None:
    """Each setting with the value that it has, and what it means."""
    for key, field in config.model_fields.items():
        if not field.is_required() and key not in leave_out:  # the image's shape is not set but found
            print(f"  {key} = {used.get(key, field.default)!r}\n      {field.description or ''}")


def _presets(presets: Any) -> None:
    for key, chosen in presets.items():
        size = [] if chosen.image_size is None else [f"image_size={chosen.image_size}"]
        print(f"\npreset {key}: " + ", ".join([*size, *(f"{k}={v}" for k, v in chosen.settings.items())]))
