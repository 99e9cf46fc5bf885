"""From raw scores to p-values and decisions: split-conformal calibration on held-out normal images alone."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Literal, Self, overload

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from daad.errors import ConfigError

Floats = npt.NDArray[np.float64]
Unit = Literal["image", "tile"]


class Calibration(BaseModel):
    """What held-out normal images scored, and the false-alarm rate the user asked for.

    If a new normal image is exchangeable with the held-out ones, it is flagged with a probability of at most
    `guaranteed_rate`, which is at most `false_alarm_rate` unless `note` says otherwise. The guarantee is an average
    over draws of the held-out images.

    Args:
        scores: (n,) raw scores, kept sorted; never of images that the model was trained on or that are anomalous.
        map_peaks: (n,) the largest value of each image's anomaly map, kept sorted.
        false_alarm_rate: the rate asked for, in (0, 1).
        unit: what was held out: images, or tiles of them. With tiles the rate is one of tiles, and an image of many,
            which is flagged for its worst tile, is flagged far more often.

    Raises:
        ValidationError: pydantic's, a ValueError: no score, a value that is not finite, lists of unequal length, a rate
            outside (0, 1), an unknown field.

    Source: Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World (2005); Bates et al., Testing for Outliers
    with Conformal p-values (Annals of Statistics, 2023).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scores: tuple[float, ...]
    map_peaks: tuple[float, ...]
    false_alarm_rate: float
    unit: Unit = "image"

    @classmethod
    def from_normals(
        cls, scores: npt.ArrayLike, map_peaks: npt.ArrayLike, false_alarm_rate: float, unit: Unit = "image"
    ) -> Self:
        """Calibrate on arrays of what held-out normal images scored.

        Args:
            scores: (n,) raw scores, in any order.
            map_peaks: (n,) the largest value of each anomaly map, in any order.
            false_alarm_rate: the rate asked for, in (0, 1).
            unit: what was held out, images or tiles.

        Raises:
            ValidationError: as in the constructor.
        """
        as_lists = [np.asarray(values, dtype=np.float64).ravel().tolist() for values in (scores, map_peaks)]
        return cls(
            scores=tuple(as_lists[0]), map_peaks=tuple(as_lists[1]), false_alarm_rate=false_alarm_rate, unit=unit
        )

    def with_rate(self, false_alarm_rate: float) -> Self:
        """The same held-out images under another false-alarm rate; nothing is trained again.

        Raises ConfigError for a rate outside (0, 1).
        """
        _check_rate(false_alarm_rate)
        return self.model_copy(update={"false_alarm_rate": false_alarm_rate})

    @property
    def threshold(self) -> float:
        """An image is anomalous if its score is above this: the k-th smallest of the n held-out scores.

        k = ceil((n + 1)(1 - false_alarm_rate)), or n where that is n + 1 because there are too few images.
        """
        return self.scores[self._rank - 1]

    @property
    def map_threshold(self) -> float:
        """A pixel belongs to a region if it is above this: the same rank among `map_peaks`.

        So a normal image shows any region at all with a probability of at most `guaranteed_rate`.
        """
        return self.map_peaks[self._rank - 1]

    @property
    def guaranteed_rate(self) -> float:
        """The bound that `threshold` really gives on the false-alarm rate: (n + 1 - k) / (n + 1), never 0."""
        n = len(self.scores)
        return (n + 1 - self._rank) / (n + 1)

    @property
    def note(self) -> str | None:
        """One sentence if there are too few held-out images for the rate asked for, else None."""
        n, rate = len(self.scores), _exact(self.false_alarm_rate)
        if rate * (n + 1) >= 1:
            return None
        return (
            f"{n} held-out normal {self.unit if n == 1 else self.unit + 's'} can only promise a false-alarm rate of "
            f"{self.guaranteed_rate:.3g}, not {self.false_alarm_rate:g}: hold out at least {math.ceil(1 / rate) - 1} "
            f"normal {self.unit}s, or ask for a rate of {_round_up(self.guaranteed_rate):g}."
        )

    @overload
    def p_value(self, score: float) -> float: ...
    @overload
    def p_value(self, score: npt.NDArray[Any]) -> Floats: ...
    def p_value(self, score: float | npt.NDArray[Any]) -> float | Floats:
        """The conformal p-value in (0, 1] of a score or of an array of scores, in the same shape.

        (1 + #{held-out scores >= score}) / (n + 1). ValueError: a score is NaN.
        """
        values = _numbers(score)
        n = len(self.scores)
        p = (1 + n - np.searchsorted(self.scores, values, side="left")) / (n + 1)
        return np.asarray(p) if isinstance(score, np.ndarray) else float(p)

    @overload
    def is_anomalous(self, score: float) -> bool: ...
    @overload
    def is_anomalous(self, score: npt.NDArray[Any]) -> npt.NDArray[np.bool_]: ...
    def is_anomalous(self, score: float | npt.NDArray[Any]) -> bool | npt.NDArray[np.bool_]:
        """Whether `score > threshold`, which is always the same as `p_value(score) <= guaranteed_rate`.

        For a score or an array of scores, in the same shape. ValueError: a score is NaN.
        """
        above = _numbers(score) > self.threshold
        return np.asarray(above) if isinstance(score, np.ndarray) else bool(above)

    @property
    def _rank(self) -> int:
        n = len(self.scores)
        return min(n, math.ceil((n + 1) * (1 - _exact(self.false_alarm_rate))))

    @field_validator("scores", "map_peaks")
    @classmethod
    def _sort(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values:
            raise ValueError("is empty: hold out at least one normal image")
        bad = [value for value in values if not math.isfinite(value)]
        if bad:
            raise ValueError(f"holds {len(bad)} values that are not finite, such as {bad[0]}: calibrate again")
        return tuple(sorted(values))

    @field_validator("false_alarm_rate")
    @classmethod
    def _rate(cls, value: float) -> float:
        _check_rate(value)
        return value

    @model_validator(mode="after")
    def _same_images(self) -> Self:
        if len(self.scores) != len(self.map_peaks):
            raise ValueError(f"{len(self.scores)} scores but {len(self.map_peaks)} map_peaks: give one each per image")
        return self


def _exact(rate: float) -> Fraction:
    """The rate as it is written: 0.05 is one twentieth, not the nearest binary fraction."""
    return Fraction(repr(float(rate)))


def _round_up(rate: float) -> float:
    """The rate rounded up to two digits, so that asking for it is enough."""
    unit = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return math.ceil(rate / unit) * unit


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise ConfigError(f"false_alarm_rate must lie between 0 and 1, such as 0.01, found {rate}")


def _numbers(score: float | npt.NDArray[Any]) -> Floats:
    values = np.asarray(score, dtype=np.float64)
    if np.isnan(values).any():
        raise ValueError("a score is NaN: an image that was not judged has no p-value and no decision")
    return values
