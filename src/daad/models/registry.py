"""The models by name. A new model is one line here; its module is imported when it is built."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from daad.errors import ConfigError, closest

if TYPE_CHECKING:
    from daad.models.base import AnomalyModel


@dataclass(frozen=True, slots=True)
class Entry:
    """Location, summary and source of a model. `audit` are settings for training images that may hold anomalies."""

    location: str
    summary: str
    source: str
    audit: Mapping[str, Any] = field(default_factory=dict)


DAAD_PAPER = "Hou et al., Divide-and-Assemble, ICCV 2021"

MODELS: dict[str, Entry] = {
    "ae": Entry("daad.models.autoencoders:AE", "plain autoencoder", f"baseline of {DAAD_PAPER}"),
    "ae-skip": Entry("daad.models.autoencoders:AESkip", "autoencoder with raw skips", f"baseline of {DAAD_PAPER}"),
    "memae": Entry("daad.models.autoencoders:MemAE", "pixel-wise bottleneck memory", "Gong et al., ICCV 2019"),
    "daad": Entry("daad.models.daad.model:DAAD", "block-wise memories at four scales", DAAD_PAPER),
    "daad+": Entry("daad.models.daad.model:DAADPlus", "daad with discriminator features", DAAD_PAPER),
    "padim": Entry("daad.models.padim:PaDiM", "Gaussians of features at every position", "Defard et al., ICPR 2021"),
    "igd": Entry(
        "daad.models.igd.model:IGD", "Gaussian of codes, MS-SSIM decoder, on features", "Chen et al., AAAI 2022"
    ),
    "mcod": Entry(
        "daad.models.mcod.model:MCOD",
        "distance from a memory in feature space",
        "Huyan et al., TIP 2022",
        audit={"support_fraction": 0.75},
    ),
    "lunar": Entry("daad.models.lunar:Lunar", "tile VAE: error and code", "Lesnikowski et al., arXiv 2001.04634"),
    "utad": Entry("daad.models.utad.model:UTAD", "impression and detail in two stages", "Liu et al., arXiv 2103.11671"),
}

ON_FEATURES = ("padim", "igd")  # models on any features
RENAMED = {"ccd-padim": "model 'padim' with features 'ccd'", "ccd-igd": "model 'igd' with features 'ccd'"}
BOXES = "scod"  # learns from labelled boxes, and is not registered here


def model_class(name: str) -> type[AnomalyModel]:
    """The class of a registered model; ConfigError with the closest name for an unknown one."""
    if name == BOXES:
        raise ConfigError(f"model {name!r} learns from labelled boxes: use daad boxes fit, or BoxDetector")
    if name in RENAMED:
        raise ConfigError(f"model {name!r} is called {RENAMED[name]} now")
    if name not in MODELS:
        raise ConfigError(f"unknown model {name!r}{closest(name, MODELS)}; known models: {', '.join(MODELS)}")
    module, _, attribute = MODELS[name].location.partition(":")
    cls: type[AnomalyModel] = getattr(importlib.import_module(module), attribute)
    return cls
