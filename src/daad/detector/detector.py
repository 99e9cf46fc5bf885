"""`Detector`: fit on good images, predict, evaluate, save, load."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from daad.artifact.checks import check_golden, check_preprocess
from daad.artifact.jsonable import plain
from daad.artifact.manifest import Manifest
from daad.artifact.place import check_replaceable, check_writable, resolved
from daad.artifact.read import read_artifact
from daad.artifact.store import write_artifact
from daad.data.preprocess import Preprocess
from daad.data.sample import Sample
from daad.data.tiles import Tiling
from daad.detector.export import Parity, export_onnx
from daad.detector.fitting import fit
from daad.detector.options import FitPlan, Progress, RunOptions
from daad.detector.scorer import Scored, score_batch
from daad.errors import ArtifactError, ConfigError, ImageError, TrainingError
from daad.models.base import AnomalyModel
from daad.models.build import build, rebuild, settings_for_network
from daad.runtime.evaluation import Evaluation, evaluate
from daad.runtime.stream import Prepared, batched, prepared, samples_of
from daad.runtime.tiled import judge_whole
from daad.scoring.calibration import Calibration
from daad.scoring.prediction import Prediction
from daad.scoring.regions import find_regions

BATCH_SIZE = 16
GOLDEN_TOLERANCE = 1e-4


class Detector:
    """A fitted model, the preprocessing it expects, its calibration, and where it came from.

    >>> detector = Detector.fit("photos/good")
    >>> for prediction in detector.predict("photos/new"):
    ...     prediction.name, prediction.is_anomalous, prediction.score, prediction.p_value
    """

    def __init__(
        self,
        name: str,
        model: AnomalyModel,
        preprocess: Preprocess,
        calibration: Calibration,
        provenance: dict[str, Any],
    ) -> None:
        self.name = name
        # One memory format, fitted or loaded: another would choose other kernels, and those round differently.
        self.model = model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.preprocess = preprocess
        self.calibration = calibration
        self.provenance = provenance

    @classmethod
    def fit(
        cls,
        data: Any,
        *,
        model: str = "daad",
        preset: str = "small",
        image_size: int | tuple[int, int] | None = None,
        seed: int = 0,
        false_alarm_rate: float = 0.05,
        holdout: float = 0.2,
        tile: int | tuple[int, int] | None = None,
        overlap: float = 0.25,
        precision: Any = "auto",
        accelerator: str = "auto",
        run: str | Path | None = None,
        resume: bool = False,
        checkpoint_every: int = 200,
        cache: bool = True,
        progress: Progress | None = None,
        network: torch.nn.Module | None = None,
        **settings: Any,
    ) -> Self:
        """Learn what good looks like.

        `data`: a folder of good images, an MVTec-style folder (its train/good), a CSV or Parquet manifest, a list of
        paths, arrays or PIL images, or an array (N, H, W, C). `image_size`: the short side the model sees, or
        (height, width), multiples of 16; None: the preset's. A share `holdout` of the images is kept from training to
        set the threshold for `false_alarm_rate` and the p-values. `tile`: a side in image pixels, or (height, width):
        the model learns tiles of this size instead of whole images, and every image is judged by its tiles, which
        overlap by the share `overlap`, at full resolution; with fewer than five images, or one too large to be judged
        whole, the threshold is one of tiles (`calibration.unit`). `run`: a folder for the image cache, the checkpoint
        every `checkpoint_every` steps and the log; with `resume` a stopped run goes on from there. `settings` are those
        of the model (`daad models NAME`). `network`, for ccd-padim and ccd-igd: a module of your own to stand on,
        float images (B, C, H, W) in [0, 1] -> list of feature maps; it is copied, and not trained. The same seed gives
        the same bits on one CPU.

        Raises DataError, ConfigError, TrainingError, ArtifactError.
        """
        if network is not None:
            settings = settings_for_network(model, settings)
        plan = FitPlan.make(
            model=model,
            preset=preset,
            image_size=image_size,
            seed=seed,
            false_alarm_rate=false_alarm_rate,
            holdout=holdout,
            tile=tile,
            overlap=overlap,
            precision=precision,
            accelerator=accelerator,
            settings=settings,
        )
        folder = None if run is None else Path(run)
        options = RunOptions.make(folder=folder, resume=resume, checkpoint_every=checkpoint_every, cache=cache)
        fitted = fit(data, plan, options, progress, network)
        provenance = {**fitted.provenance, "left_out": [asdict(failure) for failure in fitted.failures]}
        return cls(model, fitted.model, fitted.preprocess, fitted.calibration, provenance)

    def predict(
        self, source: Any, *, batch_size: int = BATCH_SIZE, workers: int = 2, maps: bool = True
    ) -> Iterator[Prediction]:
        """Judge images, one `Prediction` each, in order; at most a few batches are in memory at any time.

        `source`: a path, folder, layout, array (H, W[, C]) or (N, H, W, C), PIL image, bytes, a list of these, or an
        iterator. An image that cannot be read gives a Prediction with `error`, and the rest go on. Without `maps`,
        `anomaly_map` and `reconstruction` are None, and there are no `pictures` (regions are still found). A detector
        of tiles gives the highest score among an image's tiles and their maps blended into one, and no reconstruction.
        """
        if batch_size < 1 or workers < 1:
            raise ConfigError(f"batch_size and workers must be at least 1, found {batch_size} and {workers}")
        samples = samples_of(source)  # here and not in the generator: a missing folder is told at once
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

    def decision_function(self, images: Any, *, batch_size: int = BATCH_SIZE) -> npt.NDArray[np.float64]:
        """Raw anomaly scores (N,), higher is more anomalous, of an array (N, H, W[, C]) or a list of images.

        Raises ImageError for the first image that cannot be read, and for an array that is one image.
        """
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

    def with_false_alarm_rate(self, rate: float) -> Detector:
        """The same detector with its threshold set for another false-alarm rate, without training."""
        return Detector(self.name, self.model, self.preprocess, self.calibration.with_rate(rate), self.provenance)

    def with_tiles(self, tile: int | tuple[int, int], overlap: float = 0.25) -> Detector:
        """The same detector judging images by tiles of this size in image pixels, each as the whole images that it
        learnt from: for images of more of the same. Its threshold and p-values are then of tiles, not of images.

        Raises ConfigError for a detector that learnt tiles already, of another size.
        """
        tiling, own = Tiling.of(tile, overlap), self.preprocess.tiles
        if own is not None and (own.height, own.width) != (tiling.height, tiling.width):
            raise ConfigError(
                f"this detector learnt tiles of {own.width}x{own.height} pixels; to judge by {tiling.width}x"
                f"{tiling.height}, fit again"
            )
        preprocess = self.preprocess.model_copy(update={"tiles": tiling})
        calibration = self.calibration if own == tiling else self.calibration.model_copy(update={"unit": "tile"})
        return Detector(self.name, self.model, preprocess, calibration, self.provenance)

    def save(self, path: str | Path) -> Path:
        """Write the detector to a folder, or to a zip where `path` ends in .zip; an older one there is replaced.

        A folder's other files stay. Raises ArtifactError, and leaves what is there as it was, for a place that is
        neither absent, nor empty, nor a detector, for one that cannot be written, and for provenance that JSON cannot
        hold.
        """
        golden = self._golden_image()
        scored = score_batch(self.model, self.preprocess, golden)
        manifest = Manifest(
            model=self.name,
            config=plain(self.model.config.model_dump(mode="json"), "config"),
            preprocess=self.preprocess,
            calibration=self.calibration,
            provenance=plain(self.provenance, "provenance"),
            files={},
        )
        tensors = {
            "image": torch.from_numpy(golden.astype(np.int32)),
            "score": torch.from_numpy(scored.score),
            "anomaly_map": torch.from_numpy(scored.anomaly_map),
        }
        write_artifact(path, manifest, self.model.state_dict(), tensors)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True, network: torch.nn.Module | None = None) -> Self:
        """Read a detector; every file is checked against its hash, and with `verify` the golden sample is scored again.

        `network`: a module of the form that was given to `fit`, for a detector on one; its weights come from `path`.

        Raises ArtifactError for a path that is missing, foreign, damaged, altered or of an unknown schema, and for a
        machine on which the model gives other numbers than where it was saved.
        """
        manifest, weights, golden = read_artifact(path, Manifest)
        model = rebuild(partial(build, manifest.model, manifest.config, network), weights, str(path))
        check_preprocess(manifest.preprocess, model.config, str(path))
        detector = cls(manifest.model, model, manifest.preprocess, manifest.calibration, manifest.provenance)
        if verify:
            detector._verify(golden, str(path))
        return detector

    def export_onnx(self, path: str | Path, *, samples: Any = None) -> Parity:
        """Write the model as ONNX and prove it: input `image` integers (N, h, w, C) as `preprocess` gives them; outputs
        `score` and `anomaly_map`. Needs `pip install 'daad[onnx]'`."""
        images = self._golden_image(4) if samples is None else np.asarray(samples)
        return export_onnx(self.model, self.preprocess, Path(path), images)

    def _judge(self, batch: list[Prepared], maps: bool) -> Iterator[Prediction]:
        images = [item.image for item in batch if item.image is not None]
        scored = score_batch(self.model, self.preprocess, np.stack(images)) if images else None
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
            reconstruction=None if rebuilt is None else rebuilt[position],
            pictures={name: picture[position] for name, picture in scored.pictures.items()},
        )

    def _judge_tiles(self, sample: Sample, maps: bool) -> Prediction:
        try:
            return self._verdict(sample.name, *judge_whole(self.model, self.preprocess, sample), maps)
        except ImageError as error:
            return Prediction(sample.name, error=str(error))

    def _verdict(self, name: str, score: float, anomaly_map: npt.NDArray[np.float32], maps: bool) -> Prediction:
        return Prediction(
            name=name,
            score=score,
            p_value=self.calibration.p_value(score),
            is_anomalous=score > self.calibration.threshold,
            regions=find_regions(anomaly_map, self.calibration.map_threshold),
            anomaly_map=anomaly_map if maps else None,
        )

    def _golden_image(self, count: int = 1) -> npt.NDArray[Any]:
        """Made, never taken from the user's images: an artifact must not carry a patient or a product."""
        p = self.preprocess
        noise = np.random.default_rng(0).random((count, p.height, p.width, p.channels))
        ramp = np.linspace(0, 1, p.width)[None, None, :, None]
        return (np.iinfo(p.dtype).max * (0.5 * noise + 0.5 * ramp)).astype(p.dtype)

    def _verify(self, golden: dict[str, torch.Tensor], where: str) -> None:
        check_golden(golden, self.preprocess, where)
        images = golden["image"].numpy().astype(self.preprocess.dtype)
        try:
            found = float(score_batch(self.model, self.preprocess, images).score[0])
        except (TrainingError, RuntimeError) as error:
            raise ArtifactError(f"{where}: its golden sample cannot be scored: {error}") from None
        expected = float(golden["score"][0])
        if not math.isclose(expected, found, rel_tol=GOLDEN_TOLERANCE, abs_tol=1e-9):
            raise ArtifactError(
                f"{where}: its golden sample scores {found:.6g} here but {expected:.6g} where it was saved"
            )


def prepare_output(path: Path) -> None:
    """Refuse, before hours of training, a place where a detector could not be saved; makes its parent folder."""
    place = resolved(path)
    check_replaceable(place)
    check_writable(place)
