"""What a number was measured on: machine, threads, load, commit, versions."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from typing import Any


def provenance() -> dict[str, Any]:
    """Facts about this machine and this checkout, for the head of every result."""
    import torch

    return {
        "commit": commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}",
        "platform": platform.platform(),
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "versions": {name: version(name) for name in ("daad", "torch", "numpy", "scipy", "pillow")},
    }


def commit() -> str:
    """The checkout's commit, with '+' where there are uncommitted changes to the library; DAAD_COMMIT says it where the
    files came without their history."""
    if told := os.environ.get("DAAD_COMMIT"):
        return told
    head = _git("rev-parse", "--short=12", "HEAD")
    return head + ("+" if _git("status", "--porcelain", "--", "src", "benchmarks/*.py") else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
