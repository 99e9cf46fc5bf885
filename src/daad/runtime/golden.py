"""The golden sample: made-up images with the scores they had where a detector was saved, scored again where it is read.

It is made, never taken from the user's images: an artifact must not carry a patient or a product.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from daad.data.preprocess import Preprocess
from daad.errors import ArtifactError, TrainingError
from daad.runtime.scorer import Ints, Scorer

Arrays = dict[str, npt.NDArray[Any]]

DTYPES = {"image": np.dtype(np.int32), "score": np.dtype(np.float32), "anomaly_map": np.dtype(np.float32)}
TOLERANCE = 1e-4


def golden_images(preprocess: Preprocess, count: int = 1) -> Ints:
    """Prepared images (count, h, w, C): half noise, half a ramp."""
    p = preprocess
    noise = np.random.default_rng(0).random((count, p.height, p.width, p.channels))
    ramp = np.linspace(0, 1, p.width)[None, None, :, None]
    return (np.iinfo(p.dtype).max * (0.5 * noise + 0.5 * ramp)).astype(p.dtype)


def golden_sample(scorer: Scorer, preprocess: Preprocess) -> Arrays:
    """image (1, h, w, C), score (1,) and anomaly_map (1, h, w), as they are saved."""
    images = golden_images(preprocess)
    scored = scorer(images)
    return {"image": images.astype(np.int32), "score": scored.score, "anomaly_map": scored.anomaly_map}


def verify(scorer: Scorer, preprocess: Preprocess, golden: Arrays, where: str) -> None:
    """Score a saved golden sample again.

    Args:
        scorer: the detector's.
        preprocess: the detector's, which says the sample's shape and depth.
        golden: what `golden_sample` gave.
        where: the artifact, for messages.

    Raises:
        ArtifactError: it is malformed, or has another score here.
    """
    check(golden, preprocess, where)
    try:
        score = float(scorer(golden["image"].astype(preprocess.dtype)).score[0])
    except (TrainingError, RuntimeError) as error:
        raise ArtifactError(f"{where}: its golden sample cannot be scored: {error}") from None
    expected = float(golden["score"][0])
    if not math.isclose(expected, score, rel_tol=TOLERANCE, abs_tol=1e-9):
        raise ArtifactError(f"{where}: its golden sample scores {score:.6g} here but {expected:.6g} where it was saved")


def check(golden: Arrays, preprocess: Preprocess, where: str) -> None:
    """Refuse a golden sample other than image (n, h, w, C) of int32, score (n,) and anomaly_map (n, h, w) of
    float32, n >= 1."""
    missing = [name for name in DTYPES if name not in golden]
    if missing:
        raise ArtifactError(f"{where}: golden.safetensors holds no {missing[0]!r}; save the detector again")
    p, score = preprocess, golden["score"]
    count = max(1, len(score)) if score.ndim else 1
    shapes = {
        "image": (count, p.height, p.width, p.channels),
        "score": (count,),
        "anomaly_map": (count, p.height, p.width),
    }
    for name, dtype in DTYPES.items():
        array = golden[name]
        if array.shape != shapes[name] or array.dtype != dtype:
            raise ArtifactError(
                f"{where}: golden.safetensors: {name!r} is {array.dtype} of shape {array.shape}, expected "
                f"{dtype} of shape {shapes[name]}; save the detector again"
            )
