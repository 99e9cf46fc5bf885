"""Real images for the demo: solar cells that ship inside the PyPI package elpv-dataset (CC BY-NC-SA 4.0)."""

from __future__ import annotations

import csv
import random
from importlib.util import find_spec
from pathlib import Path

from daad.errors import DataError

TEST_GOOD = 100


def write_demo_split(folder: Path, seed: int = 0) -> Path:
    """Write `folder/split.csv`, a manifest of the monocrystalline cells, and return its path.

    Defect probability 0 is good, 1 is defective, the uncertain ones between are left out. The good cells are shuffled
    with `random.Random(seed)`; the first 100 are test images, the rest train. All defective cells are test images.
    Raises DataError where the package is missing.
    """
    data = _package_data()
    cells = _monocrystalline(data)
    good = [path for path, probability in cells if probability == 0]
    defective = [path for path, probability in cells if probability == 1]
    random.Random(seed).shuffle(good)
    rows = [(path, "good", "test" if n < TEST_GOOD else "train") for n, path in enumerate(good)]
    rows += [(path, "defective", "test") for path in defective]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "split.csv"
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        writer.writerows(rows)
    return target


def _package_data() -> Path:
    spec = find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise DataError("the demo's images are missing: pip install 'daad[demo]' (the PyPI package elpv-dataset)")
    return Path(spec.origin).parent / "data"


def _monocrystalline(data: Path) -> list[tuple[str, float]]:
    lines = (data / "labels.csv").read_text(encoding="utf-8").splitlines()
    fields = (line.split() for line in lines if line.strip())
    return sorted((str(data / path), float(probability)) for path, probability, kind in fields if kind == "mono")
