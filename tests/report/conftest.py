"""A detector that needs no training: its map is the distance of a pixel from mid grey."""

from __future__ import annotations

import numpy as np
import pytest

from daad.data.decode import decode
from daad.data.preprocess import Preprocess
from daad.data.sample import Sample
from daad.errors import ImageError
from daad.runtime.evaluation import evaluate
from daad.scoring.calibration import Calibration
from daad.scoring.prediction import Prediction
from daad.scoring.regions import find_regions

SIDE = 32
CONFIG = {"height": SIDE, "width": SIDE, "channels": 1, "memory_items": 7, "nested": {"learning_rate": 0.001}}


class GreyDetector:
    """Scores an image by its largest distance from mid grey; has the attributes of a `Judge` that a report uses."""

    def __init__(self, held_out: int = 40, reconstructs: bool = True) -> None:
        self.name = "grey"
        self.preprocess = Preprocess(height=SIDE, width=SIDE, channels=1)
        levels = np.linspace(0.01, 0.1, held_out)
        self.calibration = Calibration.from_normals(levels, levels, 0.05)
        self.settings = CONFIG
        self.reconstructs = reconstructs
        self.judged: list[str] = []
        self.provenance = {
            "seed": 11,
            "preset": "small",
            "images": {"fit": 123, "calibration": held_out},
            "data_fingerprint": {"fit": "f17f17", "calibration": "ca1ca1"},
            "training": {"steps": 50, "seconds": 12.3, "last_terms": {"reconstruction": 0.25}},
            "versions": {"daad": "0.1.0"},
            "machine": {"cpu": "AVX2"},
            "left_out": [{"name": "train/torn.png", "reason": "it is truncated"}],
        }

    def predict(self, source, *, batch_size=16):
        return (self._judge(sample) for sample in source)

    def _judge(self, sample):
        self.judged.append(sample.name)
        try:
            image = decode(sample.image, name=sample.name)
        except ImageError as error:
            return Prediction(sample.name, error=str(error))
        values = np.abs(image.mean(axis=2, dtype=np.float32) / 255 - np.float32(0.5))
        score = float(values.max())
        return Prediction(
            sample.name,
            score,
            self.calibration.p_value(score),
            score > self.calibration.threshold,
            find_regions(values, self.calibration.map_threshold),
            values,
            np.full((SIDE, SIDE, 1), 128, np.uint8) if self.reconstructs else None,
        )


def good(index: int, seed: int = 0) -> Sample:
    noise = np.random.default_rng((seed, index)).integers(-15, 16, (40, 48, 1))
    return Sample((128 + noise).astype(np.uint8), f"good/{index}.png", label=0, defect="good")


def defective(index: int, *, with_mask: bool = True, name: str | None = None, defect: str = "scratch") -> Sample:
    pixels = np.asarray(good(index, seed=1).image).copy()
    pixels[10:20, 10:30] = 160 + 8 * (index % 10)
    mask = np.zeros((40, 48), bool)
    mask[10:20, 10:30] = True
    return Sample(pixels, name or f"{defect}/{index}.png", 1, mask if with_mask else None, defect=defect)


@pytest.fixture
def detector():
    return GreyDetector()


@pytest.fixture
def evaluated(monkeypatch):
    """Evaluate samples as `Detector.evaluate` does, without a folder."""
    monkeypatch.setattr("daad.runtime.evaluation.labelled", list)
    return lambda detector, samples: evaluate(detector.predict, samples)
