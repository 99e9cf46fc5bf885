"""`Judge`: a scorer, the preprocessing it expects and a calibration are all that judging needs.

image -> Preprocess -> Scorer -> score, map -> Calibration -> p-value, decision, regions -> Prediction
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from daad.data.preprocess import Preprocess
from daad.data.sample import Sample
from daad.data.tensors import is_tensor
from daad.data.tiles import Tiling
from daad.errors import ConfigError, ImageError
from daad.runtime.evaluation import Evaluation, evaluate
from daad.runtime.progress import Progress
from daad.runtime.scorer import Scored, Scorer
from daad.runtime.stream import Prepared, batched, prepared, samples_of
from daad.runtime.tiled import score_by_tiles
from daad.scoring.calibration import Calibration
from daad.scoring.prediction import Prediction
from daad.scoring.regions import find_regions

BATCH_SIZE = 16


class Judge:
    """Judges images; it neither learns nor knows what runs the model.

    Args:
        scorer: gives scores and maps of prepared images.
        preprocess: what an image goes through before.
        calibration: turns scores into p-values and decisions.
        name: the model's, for people.
        settings: the model's, for people.
        provenance: what it was made from, for people.
    """

    def __init__(
        self,
        scorer: Scorer,
        preprocess: Preprocess,
        calibration: Calibration,
        *,
        name: str = "",
        settings: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.scorer = scorer
        self.preprocess = preprocess
        self.calibration = calibration
        self.name = name
        self.settings = dict(settings or {})
        self.provenance = dict(provenance or {})

    def predict(
        self, source: Any, *, batch_size: int = BATCH_SIZE, workers: int = 2, maps: bool = True
    ) -> Iterator[Prediction]:
        """Judge images, one `Prediction` each, in order; at most a few batches are in memory at any time.

        An image that cannot be read gives a Prediction with `error`, and the rest go on. A detector of tiles gives the
        highest score among an image's tiles and their maps blended into one, and no reconstruction.

        Args:
            source: a path, folder, layout, array (H, W[, C]) or (N, H, W, C), torch tensor (C, H, W) or (N, C, H, W),
                PIL image, bytes, a list of these, or an iterator.
            batch_size: images scored at once.
            workers: threads that decode images.
            maps: False leaves `anomaly_map`, `reconstruction`, `image` and `pictures` out; regions are still found.

        Raises:
            ConfigError: batch_size or workers below 1.
            DataError: a path that is not there, or holds no image.
        """
        if batch_size < 1 or workers < 1:
            raise ConfigError(f"batch_size and workers must be at least 1, found {batch_size} and {workers}")
        samples = samples_of(source)  # here and not in the generator: a missing folder is reported at once
        if self.preprocess.tiles is not None:
            return (self._judge_tiles(sample, maps) for sample in samples)
        images = prepared(samples, self.preprocess, ahead=2 * batch_size, workers=workers)
        return chain.from_iterable(self._judge(batch, maps) for batch in batched(images, batch_size))

    def predict_one(self, image: Any) -> Prediction:
        """Judge one image; raises ImageError where it cannot be read."""
        prediction = next(self.predict([image], batch_size=1, workers=1))
        if prediction.error is not None:
            raise ImageError(prediction.error)
        return prediction

    def score(self, images: Any, *, batch_size: int = BATCH_SIZE) -> npt.NDArray[np.float64]:
        """Raw anomaly scores (N,), higher is more anomalous, of an array (N, H, W[, C]), a tensor (N, C, H, W) or a
        list of images.

        Raises ImageError for the first image that cannot be read, and for an array that is one image.
        """
        if is_tensor(images) and images.ndim == 3:
            raise ImageError(f"tensor of shape {tuple(images.shape)} is one image; give a batch (N, C, H, W)")
        if isinstance(images, np.ndarray) and images.ndim == 3:
            if images.shape[-1] == self.preprocess.channels:
                raise ImageError(f"array of shape {images.shape} looks like one image; give a batch (N, H, W, C)")
            images = images[..., None]
        scores = []
        for prediction in self.predict(images, batch_size=batch_size, maps=False):
            if prediction.error is not None:
                raise ImageError(prediction.error)
            scores.append(prediction.score)
        return np.array(scores, dtype=np.float64)

    def evaluate(self, data: Any, *, batch_size: int = BATCH_SIZE, progress: Progress | None = None) -> Evaluation:
        """Measure on labelled images that took no part in fitting: metrics with intervals, and a row an image."""
        return evaluate(partial(self.predict, batch_size=batch_size), data, progress)

    def with_false_alarm_rate(self, rate: float) -> Self:
        """The same with its threshold set for another false-alarm rate, without training."""
        return self._with(calibration=self.calibration.with_rate(rate))

    def with_tiles(self, tile: int | tuple[int, int], overlap: float = 0.25) -> Self:
        """The same judging images by tiles of this size in image pixels, each as the images that were learnt from: for
        images of more of the same. Its threshold and p-values are then of tiles, not of images.

        Raises ConfigError for a detector that learnt tiles already, of another size.
        """
        tiling, own = Tiling.of(tile, overlap), self.preprocess.tiles
        if own is not None and (own.height, own.width) != (tiling.height, tiling.width):
            raise ConfigError(
                f"this detector learnt tiles of {own.width}x{own.height} pixels; to judge by {tiling.width}x"
                f"{tiling.height}, fit again"
            )
        calibration = self.calibration if own == tiling else self.calibration.model_copy(update={"unit": "tile"})
        return self._with(preprocess=self.preprocess.model_copy(update={"tiles": tiling}), calibration=calibration)

    def _with(self, **changes: Any) -> Self:
        changed = copy.copy(self)
        for name, value in changes.items():
            setattr(changed, name, value)
        return changed

    def _judge(self, batch: list[Prepared], maps: bool) -> Iterator[Prediction]:
        images = [item.image for item in batch if item.image is not None]
        scored = self.scorer(np.stack(images)) if images else None
        position = 0
        for item in batch:
            if item.image is None or scored is None:
                yield Prediction(item.sample.name, error=item.error)
            else:
                yield self._prediction(item, scored, position, maps)
                position += 1

    def _prediction(self, item: Prepared, scored: Scored, position: int, maps: bool) -> Prediction:
        anomaly_map = self.preprocess.map_to_image(scored.anomaly_map[position], item.shape)
        verdict = self._verdict(item.sample.name, float(scored.score[position]), anomaly_map, maps)
        if not maps:
            return verdict
        rebuilt = scored.reconstruction
        return replace(
            verdict,
            image=item.image,
            reconstruction=None if rebuilt is None else rebuilt[position],
            pictures={name: picture[position] for name, picture in scored.pictures.items()},
        )

    def _judge_tiles(self, sample: Sample, maps: bool) -> Prediction:
        try:
            return self._verdict(sample.name, *score_by_tiles(self.scorer, self.preprocess, sample), maps)
        except ImageError as error:
            return Prediction(sample.name, error=str(error))

    def _verdict(self, name: str, score: float, anomaly_map: npt.NDArray[np.float32], maps: bool) -> Prediction:
        calibration = self.calibration
        return Prediction(
            name=name,
            score=score,
            p_value=calibration.p_value(score),
            is_anomalous=score > calibration.threshold,
            regions=find_regions(anomaly_map, calibration.map_threshold),
            anomaly_map=anomaly_map if maps else None,
            threshold=calibration.threshold,
            map_threshold=calibration.map_threshold,
        )
