"""The features by name. A new entry is one line here; a module is imported when its features are built.

A user gives a name of the list, a network `timm/NAME` or `torchvision/NAME`, the path of a saved detector, or a module.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daad.errors import ConfigError, closest

if TYPE_CHECKING:
    from torch import nn

    from daad.features.base import Features


@dataclass(frozen=True, slots=True)
class Entry:
    """The location of a class of features, and one line on what it is."""

    location: str
    summary: str


FEATURES: dict[str, Entry] = {
    "ccd": Entry("daad.features.ccd:CCD", "learnt from your good images by contrast (Tian et al., MICCAI 2021)"),
    "random": Entry("daad.features.random:RandomFeatures", "a network that learnt nothing; seconds"),
    "filters": Entry(
        "daad.features.filters:FilterFeatures", "hand-made: edges, brightness and texture at three scales"
    ),
    "lite0": Entry("daad.features.lite0:Lite0", "EfficientNet-Lite0 with its ImageNet weights (extra lite0)"),
    "saved": Entry("daad.features.saved:SavedFeatures", "those of a saved detector: give its path"),
    "foreign": Entry("daad.features.foreign:ForeignFeatures", "timm/NAME or torchvision/NAME, where that is installed"),
    "module": Entry("daad.features.module:ModuleFeatures", "a module of your own (Python only)"),
}
BY_PATH_OR_NAME = ("saved", "foreign", "module")  # chosen by a path, a network's name or a module, not by these names
PACKAGES = ("timm/", "torchvision/")


def features_class(name: str) -> type[Features]:
    """The class of registered features; ConfigError with the closest name for unknown ones."""
    if name not in FEATURES:
        known = ", ".join(key for key in FEATURES if key not in BY_PATH_OR_NAME)
        raise ConfigError(
            f"unknown features {name!r}{closest(name, FEATURES)}; known: {known}, timm/NAME, torchvision/NAME, or the "
            "path of a saved detector"
        )
    module, _, attribute = FEATURES[name].location.partition(":")
    cls: type[Features] = getattr(importlib.import_module(module), attribute)
    return cls


def kind_of_features(chosen: Any) -> str:
    """The registered name of features that a user gave as a name, a path, or a module. ConfigError for others."""
    if not isinstance(chosen, str):
        if not callable(chosen):
            raise ConfigError(f"features {chosen!r}: give a name, the path of a saved detector, or a torch module")
        return "module"
    if chosen in FEATURES and chosen not in ("saved", "foreign"):
        return chosen
    if chosen.startswith(PACKAGES):
        return "foreign"
    if chosen and Path(chosen).exists():
        return "saved"
    features_class(chosen if chosen not in BY_PATH_OR_NAME else f"{chosen} (no path)")
    return chosen


def build_features(name: str, settings: Mapping[str, Any], network: nn.Module | None = None) -> Features:
    """Features by their registered name and all their settings; `network` for features `module`."""
    cls = features_class(name)
    config = cls.Config.make(**settings)
    if name == "module":
        return cls(config, network)  # type: ignore[call-arg]
    if network is not None:
        raise ConfigError(f"this detector stands on features {name!r}; load it without features=")
    return cls(config)
