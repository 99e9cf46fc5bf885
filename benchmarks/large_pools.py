"""Memory and time of an audit by the number of images: `daad audit` as a process of its own, with the default model and
its default length, on made-up images.

    python -m benchmarks.large_pools

Two peaks are measured: what the process keeps resident, of which the mapped image cache is a part that the system takes
back when it is short; and what is the process's own (anonymous), which it cannot take back.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.huge import ground
from benchmarks.machine import provenance

RESULTS = Path(__file__).parent / "results" / "large_pools.json"
COUNTS = (1_000, 10_000, 100_000)
SIDE = 64
FIELD = 2048
EVERY_S = 0.2


def main() -> None:
    rows = [audited(count) for count in COUNTS]
    result = {"schema": 1, "suite": "large_pools", "rows": rows, "side": SIDE, "provenance": provenance()}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def audited(count: int) -> dict[str, Any]:
    """One audit of `count` images."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(folder / "pool", count)
        command = [sys.executable, "-m", "daad", "audit", str(folder / "pool"), "-o", str(folder / "out")]
        started = perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        own = resident = 0
        while child.poll() is None:
            now = memory(child.pid)
            own, resident = max(own, now["RssAnon"]), max(resident, now["VmRSS"])
            sleep(EVERY_S)
        if child.returncode:
            raise SystemExit(f"the audit of {count} images failed with status {child.returncode}")
        seconds = perf_counter() - started
        page = (folder / "out" / "index.html").stat().st_size
    return {
        "images": count,
        "peak_own_bytes": own,
        "peak_rss_bytes": resident,
        "page_bytes": page,
        "seconds": round(seconds, 1),
    }


def memory(process: int) -> dict[str, int]:
    """Bytes of a process's own memory and of all that is resident; nothing of one that has just ended."""
    found = {"RssAnon": 0, "VmRSS": 0}
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        name, _, value = line.partition(":")
        if name in found:
            found[name] = int(value.split()[0]) * 1024
    return found


def write(folder: Path, count: int) -> None:
    """`count` cuttings of one field of smooth noise, each with a light of its own."""
    field, rng = ground(FIELD, FIELD, 0), np.random.default_rng(1)
    corners = rng.integers(0, FIELD - SIDE, (count, 2))
    lights = rng.integers(0, 40, count)
    for index, ((top, left), light) in enumerate(zip(corners, lights, strict=True)):
        place = folder / f"{index // 1000:03}"
        if index % 1000 == 0:
            place.mkdir(parents=True)
        cut = np.clip(field[top : top + SIDE, left : left + SIDE].astype(int) + light, 0, 255).astype(np.uint8)
        Image.fromarray(cut).save(place / f"{index:06}.png", compress_level=1)


if __name__ == "__main__":
    main()
