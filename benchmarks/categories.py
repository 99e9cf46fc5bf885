"""The categories that every suite measures on, and where each lies under the data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from daad.data.sample import Sample

CATEGORIES = {
    "screw": "mvtec_ad_partial/screw",
    "magnetic_tile": "magnetic_tile/magnetic_tile",
    "commutator": "kolektor_sdd/commutator",
    "pcb": "deep_pcb/pcb",
    "elpv mono": "elpv_solar/mono",
    "elpv poly": "elpv_solar/poly",
}


def folder_of(data: Path, category: str) -> Path:
    """A category's MVTec-style folder."""
    return data / CATEGORIES[category]


def test_samples(folder: Path) -> list[Sample]:
    """Every labelled test image, in the order in which an evaluation goes through them."""
    from daad.runtime.evaluation import labelled

    return labelled(folder)


def auroc_of(labels: Any, scores: Any) -> float:
    """Image AUROC."""
    from daad.metrics.ranking import auroc

    return auroc(labels, scores)
