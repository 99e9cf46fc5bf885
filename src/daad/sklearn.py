"""Any model as a scikit-learn outlier detector, for pipelines, searches and comparisons with scikit-learn's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Integral
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from daad.audit.audit import SCORING_BATCH, audit_pool
from daad.audit.options import AuditPlan
from daad.data.preprocess import Preprocess
from daad.detector.fitting import fit
from daad.detector.options import FitPlan, RunOptions
from daad.errors import ConfigError, ImageError
from daad.models.registry import model_class
from daad.runtime.engines.torch import TorchScorer
from daad.runtime.scorer import Scorer, score_all
from daad.runtime.stream import batched, prepared, samples_of

try:
    from sklearn.base import BaseEstimator, OutlierMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise ImportError("daad.sklearn needs scikit-learn: pip install 'daad[sklearn]'") from error

Floats = npt.NDArray[np.float64]


class AnomalyDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Outliers among images, in scikit-learn's manner and with its signs: low scores and -1 are outliers.

    (`daad.Detector` has the field's sign: high scores are anomalous.)

    `X` is an array (N, H, W[, C]), uint8, uint16, bool or floats in [0, 1]; rows (N, H * W * C), as transformers give
    them, with `image_shape`; or anything else that `daad.Detector.fit` takes.

    Transductive, `novelty` False: `fit_predict(X)` judges the images it learns from, for `mcod` as if each had not been
    learnt from; `predict` takes every image for a new one and may differ. One-class, `novelty` True: `fit(X_clean)`
    learns from four fifths of images known to be good and sets the threshold on the rest, so that `predict(X_new)`
    calls on average at most `contamination` of new good images outliers, or 1 / (n + 1) where the n held-out ones are
    too few for less.

    In a pipeline give scalers that keep to [0, 1] for new images too: `MinMaxScaler(clip=True)`.

    Args:
        model: one of `daad.models()`; `mcod` looks at images as a whole, the others for odd places in them.
        preset: a preset of the model.
        contamination: share of the training images that `fit_predict` calls outliers, above 0 and at most 0.5.
        image_shape: (H, W[, C]) of images that come as rows.
        image_size: short side of the image that the model sees; None: the preset's.
        steps: training steps; None: the preset's.
        settings: of the model, by name.
        random_state: a whole number, from which all chance follows.
        novelty: see above.
    """

    scorer_: Scorer
    preprocess_: Preprocess
    offset_: float

    def __init__(
        self,
        model: str = "daad",
        preset: str = "small",
        contamination: float = 0.1,
        image_shape: tuple[int, ...] | None = None,
        image_size: int | None = None,
        steps: int | None = None,
        settings: dict[str, Any] | None = None,
        random_state: int = 0,
        novelty: bool = False,
    ) -> None:
        self.model = model
        self.preset = preset
        self.contamination = contamination
        self.image_shape = image_shape
        self.image_size = image_size
        self.steps = steps
        self.settings = settings
        self.random_state = random_state
        self.novelty = novelty

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from images without labels; `y` is ignored. Raises DataError, ConfigError, ImageError."""
        self._check()
        if self.novelty:
            plan = FitPlan.make(**self._options(), false_alarm_rate=self.contamination)
            fitted = fit(self._images(X), plan, RunOptions(strict=True))
            self.scorer_, self.preprocess_ = TorchScorer(fitted.model), fitted.preprocess
            self.offset_ = -fitted.calibration.threshold
        else:
            self._fit_pool(self._images(X))
        return self._fitted_to(X)

    def fit_predict(self, X: Any, y: Any = None) -> npt.NDArray[np.int64]:
        """Learn from images, and -1 for the outliers and 1 for the inliers among the same images (N,); of a pool, so
        ConfigError where `novelty` is True."""
        if self.novelty:
            raise ConfigError("fit_predict judges the images it learns from; set novelty=False, or fit, then predict")
        self._check()
        scores = self._fit_pool(self._images(X))
        self._fitted_to(X)
        return np.where(scores < self.offset_, -1, 1)

    def score_samples(self, X: Any) -> Floats:
        """Minus the model's score of each image (N,): the lower, the more of an outlier."""
        check_is_fitted(self, "offset_")
        return -np.array([score for score, _ in score_all(self.scorer_, self._batches(X))])

    def decision_function(self, X: Any) -> Floats:
        """`score_samples` less what the threshold is (N,): below 0 is an outlier."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """-1 for outliers and 1 for inliers (N,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _fit_pool(self, images: Any) -> Floats:
        """Learn from a pool; minus the score of each image (N,), as if it had not been learnt from."""
        plan = AuditPlan.make(**self._options(), contamination=self.contamination)
        audit = audit_pool(images, plan, RunOptions(strict=True))
        self.scorer_, self.preprocess_ = audit.scorer, audit.preprocess
        scores = np.empty(len(audit.rows))
        scores[audit.order] = [-row.score for row in audit.rows]
        self.offset_ = float(np.quantile(scores, self.contamination))
        return scores

    def _check(self) -> None:
        """ConfigError for parameters that make no sense."""
        if not isinstance(self.random_state, Integral):
            raise ConfigError(f"random_state {self.random_state!r}: give a whole number, from which all chance follows")
        if not 0 < self.contamination <= 0.5:
            raise ConfigError(f"contamination {self.contamination!r}: give a share above 0 and at most 0.5")
        if not isinstance(self.settings, Mapping | None):
            raise ConfigError(f"settings {self.settings!r}: give a dict of the model's settings by name")
        model_class(self.model)

    def _options(self) -> dict[str, Any]:
        """What decides either way of learning."""
        length = {} if self.steps is None else {"steps": self.steps}
        return {
            "model": self.model,
            "preset": self.preset,
            "image_size": self.image_size,
            "seed": int(self.random_state),
            "settings": {**length, **(self.settings or {})},
        }

    def _fitted_to(self, X: Any) -> Self:
        if isinstance(X, np.ndarray) and X.ndim == 2:
            self.n_features_in_ = X.shape[1]
        elif hasattr(self, "n_features_in_"):  # of an earlier fit
            del self.n_features_in_
        return self

    def _images(self, X: Any) -> Any:
        """Rows as images; everything else as it is."""
        if isinstance(X, np.ndarray) and X.ndim == 3:
            if hasattr(self, "preprocess_") and X.shape[-1] == self.preprocess_.channels:
                raise ImageError(f"array of shape {X.shape} looks like one image; give a batch (N, H, W, C)")
            return X[..., None]
        if not (isinstance(X, np.ndarray) and X.ndim == 2):
            return X
        if self.image_shape is None:
            raise ConfigError(f"X of shape {X.shape} has rows of numbers; say by image_shape what images they are")
        shape = (*self.image_shape, 1) if len(self.image_shape) == 2 else tuple(self.image_shape)
        if min(shape) < 1 or np.prod(shape) != X.shape[1]:
            raise ConfigError(
                f"image_shape {self.image_shape} has {np.prod(shape)} numbers, rows of X have {X.shape[1]}"
            )
        return X.reshape(-1, *shape)

    def _batches(self, X: Any) -> Iterator[npt.NDArray[Any]]:
        images = prepared(samples_of(self._images(X)), self.preprocess_, ahead=2 * SCORING_BATCH, workers=2)
        for batch in batched(images, SCORING_BATCH):
            for item in batch:
                if item.error is not None:
                    raise ImageError(item.error)
            yield np.stack([item.image for item in batch if item.image is not None])
