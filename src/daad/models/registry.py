"""The models by name. Adding one is one line here; nothing is imported until a model is asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daad.errors import ConfigError, closest

if TYPE_CHECKING:
    from daad.models.base import AnomalyModel


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a model lives and what it is, as data."""

    location: str
    summary: str
    source: str


DAAD_PAPER = "Hou et al., Divide-and-Assemble, ICCV 2021"

MODELS: dict[str, Entry] = {
    "ae": Entry("daad.models.autoencoders:AE", "plain autoencoder", f"baseline of {DAAD_PAPER}"),
    "ae-skip": Entry("daad.models.autoencoders:AESkip", "autoencoder with raw skips", f"baseline of {DAAD_PAPER}"),
    "memae": Entry("daad.models.autoencoders:MemAE", "pixel-wise bottleneck memory", "Gong et al., ICCV 2019"),
    "daad": Entry("daad.models.daad.model:DAAD", "block-wise memories at four scales", DAAD_PAPER),
    "daad+": Entry("daad.models.daad.model:DAADPlus", "daad with discriminator features", DAAD_PAPER),
    "ccd-padim": Entry("daad.models.padim:PaDiM", "Gaussians of learnt features", "Tian et al., CCD, MICCAI 2021"),
    "ccd-igd": Entry("daad.models.igd:IGD", "Gaussian of codes, MS-SSIM decoder", "Tian et al., CCD, MICCAI 2021"),
    "mcod": Entry("daad.models.mcod.model:MCOD", "distance from a memory in feature space", "Huyan et al., TIP 2022"),
    "lunar": Entry("daad.models.lunar:Lunar", "tile VAE: error and code", "Lesnikowski et al., arXiv 2001.04634"),
    "utad": Entry("daad.models.utad.model:UTAD", "impression and detail in two stages", "Liu et al., arXiv 2103.11671"),
}

BOX_MODELS: dict[str, Entry] = {  # those that learn from labelled boxes: daad boxes
    "scod": Entry("daad.boxes.scod:SCOD", "single-shot detector aware of scales", "Wang et al., arXiv 2108.11021"),
}


def model_class(name: str) -> type[AnomalyModel]:
    """The class of a registered model; ConfigError with the nearest name for an unknown one."""
    if name in BOX_MODELS:
        raise ConfigError(f"model {name!r} learns from labelled boxes: use daad boxes fit, or BoxDetector")
    if name not in MODELS:
        raise ConfigError(f"unknown model {name!r}{closest(name, MODELS)}; known models: {', '.join(MODELS)}")
    found: type[AnomalyModel] = named(MODELS[name])
    return found


def named(entry: Entry) -> Any:
    """What an entry's location names."""
    module, _, attribute = entry.location.partition(":")
    return getattr(importlib.import_module(module), attribute)
