"""Whether two commits give the same numbers, bit by bit, on one machine: for changes that should change none.

    python -m benchmarks.same_numbers record /tmp/before.npz        # at the older commit
    python -m benchmarks.same_numbers check /tmp/before.npz         # at the newer one; exit 1 where a number differs

The older commit may lie elsewhere: PYTHONPATH=OLDER/src. Every model is fitted for a few steps on images made here, and
its scores, maps, p-values, thresholds and reconstructions are kept, as are those of tiles, audits and boxes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from tests.images import spotted, striped

import daad

Arrays = dict[str, Any]
OLD = "ccd-padim" in daad.models()  # before features had names of their own
PLAIN = ("ae", "ae-skip", "memae", "daad", "daad+", "mcod", "lunar", "utad")


def features(model: str, name: str, **settings: Any) -> dict[str, Any]:
    """Options of a fit on features, `settings` those of the features, in the words of this commit."""
    if OLD:
        backbone = {} if name == "ccd" else {"backbone": name}
        return {"model": f"ccd-{model}", **backbone, **settings}
    return {"model": model, "features": name, "feature_settings": settings}


def igd_length(steps: int, batch_size: int) -> dict[str, int]:
    """The length of IGD's own training, in the words of this commit."""
    names = ("igd_steps", "igd_batch_size") if OLD else ("steps", "batch_size")
    return dict(zip(names, (steps, batch_size), strict=True))


def predictions(detector: Any, images: Any) -> Arrays:
    """All that a detector says of images, and its thresholds."""
    said = list(detector.predict(images, batch_size=4))
    found: Arrays = {
        "scores": np.array([p.score for p in said]),
        "p_values": np.array([p.p_value for p in said]),
        "maps": np.stack([p.anomaly_map for p in said]),
        "thresholds": np.array([detector.calibration.threshold, detector.calibration.map_threshold]),
    }
    if said[0].reconstruction is not None:
        found["reconstructions"] = np.stack([p.reconstruction for p in said])
    return found


def plain(model: str, **options: Any) -> Callable[[], Arrays]:
    def run() -> Arrays:
        chosen = {"size": "nano", "steps": 4, "epochs": None, "image_size": 32, **options}
        good = striped(14, 40, 52, chosen.pop("channels", 1), dtype=chosen.pop("dtype", "uint8"))
        detector = daad.Detector.fit(good, model=model, **chosen)
        return predictions(detector, spotted(good[:6], seed=1)[0])

    return run


def on_features(model: str, name: str, **own: Any) -> Callable[[], Arrays]:
    def run() -> Arrays:
        good = striped(14, 40, 52, 1)
        learnt = {"steps": 3, "batch_size": 4} if name == "ccd" else {}
        detector = daad.Detector.fit(good, image_size=32, size="nano", **own, **_steps(model, name, learnt))
        return predictions(detector, spotted(good[:6], seed=1)[0])

    return run


def _steps(model: str, name: str, learnt: dict[str, Any]) -> dict[str, Any]:
    chosen = features(model, name, **learnt)
    if OLD and name != "ccd":
        chosen |= {"steps": 3, "epochs": None}
    return chosen


def on_saved(model: str, **own: Any) -> Callable[[], Arrays]:
    def run() -> Arrays:
        good = striped(14, 40, 52, 1)
        with TemporaryDirectory() as place:
            first = daad.Detector.fit(
                good, image_size=32, size="nano", **_steps("padim", "ccd", {"steps": 3, "batch_size": 4})
            )
            saved = str(first.save(Path(place) / "first"))
            detector = daad.Detector.fit(good, image_size=32, size="nano", **own, **_steps(model, saved, {}))
        return predictions(detector, spotted(good[:6], seed=1)[0])

    return run


def tiles() -> Arrays:
    good = striped(10, 96, 120, 1)
    detector = daad.Detector.fit(good, model="daad", tile=32, image_size=32, size="nano", steps=4, epochs=None)
    return predictions(detector, spotted(good[:3], seed=1)[0])


def audit(model: str) -> Callable[[], Arrays]:
    def run() -> Arrays:
        good = striped(20, 40, 52, 1)
        good[7] = spotted(good[7:8], seed=1)[0][0]
        ranked = daad.audit(good, model=model, image_size=32, size="nano", steps=4, epochs=None)
        return {
            "names": np.array([row.name for row in ranked.rows]),
            "scores": np.array([row.score for row in ranked.rows]),
            "map_threshold": np.array(ranked.map_threshold),
        }

    return run


def boxes() -> Arrays:
    from tests.boxes.conftest import made, write_data

    with TemporaryDirectory() as place:
        data = write_data(Path(place), "train", range(10))
        detector = daad.BoxDetector.fit(data, image_size=96, size="nano", steps=6, epochs=None, batch_size=4)
        said = [detector.predict_one(made(seed, 2)[0], min_score=0.01) for seed in range(50, 54)]
        return {
            "boxes": np.array([d.box for p in said for d in p.detections]),
            "scores": np.array([d.score for p in said for d in p.detections]),
            "threshold": np.array(detector.confidence.threshold),
        }


CASES: dict[str, Callable[[], Arrays]] = {
    **{model: plain(model, **({"expert_steps": 3} if model == "utad" else {})) for model in PLAIN},
    "daad small": plain("daad", size="small", image_size=64, steps=6),
    "daad+ small": plain("daad+", size="small", image_size=64, steps=6),
    "daad colour": plain("daad", channels=3),
    "daad 16 bits": plain("daad", dtype="uint16"),
    "mcod neighbours": plain("mcod", score="neighbours"),
    "padim": on_features("padim", "ccd"),
    "padim random": on_features("padim", "random"),
    "padim saved": on_saved("padim"),
    "igd": on_features("igd", "ccd", **igd_length(4, 4)),
    "igd random": on_features("igd", "random", **igd_length(4, 4)),
    "igd saved": on_saved("igd", **igd_length(4, 4)),
    "tiles": tiles,
    "audit daad": audit("daad"),
    "audit mcod": audit("mcod"),
    "boxes": boxes,
}


def measured() -> Iterator[tuple[str, Any]]:
    """Every array under the name case/array."""
    torch.set_num_threads(1)
    for case, run in CASES.items():
        for name, array in run().items():
            yield f"{case}/{name}", array


def main() -> int:
    verb, path = sys.argv[1], Path(sys.argv[2])
    if verb == "record":
        np.savez(path, **dict(measured()))
        return 0
    before, different = np.load(path, allow_pickle=False), []
    for name, array in measured():
        same = name in before and np.array_equal(before[name], array, equal_nan=np.asarray(array).dtype.kind == "f")
        print(f"{'same' if same else 'DIFFERENT'}  {name}", flush=True)
        different += [] if same else [name]
    print(f"{len(different)} different" + (f", such as {different[0]}" if different else ""))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
