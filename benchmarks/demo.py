"""Run the demo as a user does and keep its time and its figures in benchmarks/results/demo.json.

python -m benchmarks.demo
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

from benchmarks.machine import provenance

RESULTS = Path(__file__).parent / "results" / "demo.json"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        started = monotonic()
        subprocess.run([sys.executable, "-m", "daad", "demo", "--output", folder], check=True)
        seconds = monotonic() - started
        metrics = json.loads((Path(folder) / "report" / "metrics.json").read_text())
    made = metrics["provenance"]
    row = {
        "schema": 1,
        "suite": "demo",
        "model": metrics["model"],
        "seed": made["seed"],
        "image_auroc": metrics["image_auroc"],
        "false_alarm_rate": metrics["false_alarm_rate"],
        "detection_rate": metrics["detection_rate"],
        "counts": metrics["counts"],
        "seconds": round(seconds),
        "train_seconds": made["training"]["seconds"],
        "last_losses": made["training"]["last_terms"],
        "provenance": provenance(),
    }
    RESULTS.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
