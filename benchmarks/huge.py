"""Memory and time of a search in scenes far larger than memory need be: the highest resident memory of a process that
searches a made-up scene of each size, with its maps on disk.

    python -m benchmarks.huge
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.machine import provenance

RESULTS = Path(__file__).parent / "results" / "huge.json"
SIDES = (3_000, 10_000, 30_000)
BAND = 512
TILE = 32


def main() -> None:
    from daad import Detector

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        detector = folder / "detector"
        Detector.fit([ground(1024, 1024, 0)[..., None]], model="lunar", tile=TILE).save(detector)
        rows = [searched(folder, detector, side) for side in SIDES]
    result = {"schema": 1, "suite": "huge", "rows": rows, "tile": TILE, "provenance": provenance()}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def searched(folder: Path, detector: Path, side: int) -> dict[str, Any]:
    """One search in a process of its own."""
    scene, out = folder / f"{side}.tif", folder / f"out-{side}"
    write(scene, side)
    started = perf_counter()
    command = [sys.executable, "-m", "daad", "search", str(scene), "-d", str(detector), "-o", str(out)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"the search of {scene} failed with status {status}")
    seconds, size = perf_counter() - started, scene.stat().st_size
    scene.unlink()
    tiles = -(-(side - TILE) // 24) + 1
    return {
        "side": side,
        "file_bytes": size,
        "tiles": tiles**2,
        "peak_rss_bytes": usage.ru_maxrss * 1024,
        "seconds": round(seconds, 1),
    }


def write(path: Path, side: int) -> None:
    """A tiled grey BigTIFF of `side` x `side` pixels, written band by band."""
    import rasterio
    from rasterio.windows import Window

    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256, "BIGTIFF": "YES"}
    shape = {"width": side, "height": side, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **tiles) as file:
        for top in range(0, side, BAND):
            height = min(BAND, side - top)
            file.write(ground(height, side, top)[None], window=Window(0, top, side, height))


def ground(height: int, width: int, seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Smooth grey noise."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    return np.clip(128 + 150 * gaussian_filter(noise, 2), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
