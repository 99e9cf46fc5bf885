"""When, with what and on what something was learnt: the part of the provenance that is the same for everything."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import torch


def made_here() -> dict[str, Any]:
    """Date, versions and machine, as plain data."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("daad", "torch", "numpy", "pillow")},
        "machine": {
            "platform": platform.platform(),
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
            "cpu": torch.backends.cpu.get_cpu_capability(),
        },
    }
