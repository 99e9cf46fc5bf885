"""Any model is a scikit-learn outlier detector, with its signs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils import estimator_checks

import daad
from daad import ConfigError, ImageError
from daad.data.sample import Sample
from daad.models.registry import MODELS, ON_FEATURES
from daad.sklearn import AnomalyDetector
from tests.audit.test_audit import pool
from tests.images import striped

TINY = {"steps": 30, "settings": {"size": "nano", "memory_slots": 4, "batch_size": 16}}


def mcod(**options: Any) -> AnomalyDetector:
    return AnomalyDetector("mcod", **options)


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("novelty", [False, True])
def test_every_model_is_one(name: str, novelty: bool) -> None:
    images = striped(16, 32, 32, 1)
    length = {"expert_steps": 2} if name == "utad" else {}
    settings = {"size": "nano", **length, **({"memory_slots": 4} if name == "mcod" else {})}
    on_random = {"features": "random", **({"steps": 2} if name == "igd" else {})}
    chosen = {"settings": {**settings, **on_random}} if name in ON_FEATURES else {"settings": settings, "steps": 2}
    detector = AnomalyDetector(name, image_size=32, novelty=novelty, **chosen).fit(images)
    scores = detector.score_samples(images)
    assert scores.shape == (16,) and np.isfinite(scores).all()
    np.testing.assert_array_equal(detector.predict(images), np.where(scores < detector.offset_, -1, 1))


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
        estimator_checks.check_valid_tag_types,
    ],
    ids=lambda check: check.__name__,
)
def test_it_passes_the_checks_of_scikit_learn_that_need_no_table_of_numbers(check: Any) -> None:
    check("AnomalyDetector", AnomalyDetector())


def test_the_old_name_is_told() -> None:
    with pytest.raises(AttributeError, match=r"is daad.sklearn.AnomalyDetector\(model='mcod'\) now"):
        daad.MCODDetector  # noqa: B018


def test_the_odd_images_of_a_pool_are_its_outliers() -> None:
    found = mcod(contamination=3 / 40, **TINY).fit_predict(pool())
    assert np.flatnonzero(found == -1).tolist() == [0, 1, 2]


def test_clean_training_images_judge_new_ones() -> None:
    images = pool()
    detector = mcod(contamination=0.1, **TINY).fit(images[10:])
    assert detector.predict(images)[:3].tolist() == [-1, -1, -1]
    scores = detector.decision_function(images)
    np.testing.assert_allclose(scores, detector.score_samples(images) - detector.offset_)
    assert ((scores < 0) == (detector.predict(images) == -1)).all()


def test_images_that_share_a_name_are_judged_each_by_its_own_score() -> None:
    samples = [Sample(image, "cam.png", 0) for image in pool()]
    found = mcod(contamination=3 / 40, **TINY).fit_predict(samples)
    assert np.flatnonzero(found == -1).tolist() == [0, 1, 2]


def test_learnt_from_clean_images_the_threshold_holds_for_new_ones() -> None:
    images = striped(240, 32, 32, 1)
    clean, new = images[:80], images[80:]
    rates = {
        novelty: (mcod(contamination=0.2, novelty=novelty, **TINY).fit(clean).predict(new) == -1).mean()
        for novelty in (False, True)
    }
    assert rates[True] < min(0.4, rates[False])
    with pytest.raises(ConfigError, match="novelty=False"):
        mcod(novelty=True, **TINY).fit_predict(clean)
    with pytest.raises(ImageError, match=r"array\[3\]"):
        broken = clean / np.float32(255)
        broken[3, 0, 0] = np.nan
        mcod(novelty=True, **TINY).fit(broken)


def test_a_search_over_a_pipeline_judges_images_that_it_did_not_learn_from() -> None:
    rows = pool().reshape(40, -1).astype(float)
    rows[0] *= 1.1  # beyond what the scaler has seen, when it is in the held-out fold
    detector = mcod(image_shape=(32, 32), contamination=3 / 40, **{**TINY, "steps": 4})
    search = GridSearchCV(
        make_pipeline(MinMaxScaler(clip=True), detector),
        {"anomalydetector__contamination": [0.05, 0.3]},
        scoring=lambda fitted, fold, *_: -(fitted.predict(fold) == -1).mean(),
        cv=2,
        error_score="raise",
    )
    assert search.fit(rows).predict(rows).shape == (40,)


def test_it_works_at_the_end_of_a_pipeline_of_rows() -> None:
    rows = pool().reshape(40, -1).astype(float)
    pipeline = make_pipeline(MinMaxScaler(), mcod(image_shape=(32, 32), contamination=3 / 40, **TINY))
    assert np.flatnonzero(pipeline.fit_predict(rows) == -1).tolist() == [0, 1, 2]
    assert pipeline.decision_function(rows).shape == (40,)


def test_parameters_can_be_read_set_and_cloned() -> None:
    detector = mcod(contamination=0.2, random_state=3)
    again = clone(detector).set_params(contamination=0.3)
    assert again.get_params()["random_state"] == 3 and again.get_params()["contamination"] == 0.3
    assert detector.get_params()["contamination"] == 0.2


def test_any_preset_is_there() -> None:
    settings = {**TINY["settings"], "learning_rate": 1e-3}
    detector = AnomalyDetector("mcod", "official", steps=4, settings=settings).fit(pool())
    assert detector.scorer_.model.config.temperature_contrast == 10
    assert detector.predict(pool()).shape == (40,)


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        ({"preset": "best"}, pool(), "unknown preset 'best'"),
        ({"model": "mcode"}, pool(), "unknown model 'mcode'"),
        ({"contamination": 0.7}, pool(), "contamination 0.7"),
        ({"contamination": float("nan"), "novelty": True}, pool(), "contamination nan"),
        ({"settings": ["size"]}, pool(), "give a dict"),
        ({}, pool().reshape(40, -1), "image_shape"),
        ({"image_shape": (8, 8)}, pool().reshape(40, -1), "has 64 numbers, rows of X have 1024"),
        ({"image_shape": (-1, -1, 1024)}, pool().reshape(40, -1), "image_shape"),
        ({"random_state": None}, pool(), "random_state None"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict, data: np.ndarray, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AnomalyDetector(**{"model": "mcod", **options}).fit(data)


def test_nan_is_refused_and_an_unfitted_detector_says_so() -> None:
    images = pool().astype(np.float32) / 255
    images[3, 4, 5] = np.nan
    with pytest.raises(ImageError, match=r"array\[3\]"):
        mcod(**TINY).fit(images)
    with pytest.raises(NotFittedError):
        AnomalyDetector().predict(images)


def test_one_image_is_not_taken_for_a_batch() -> None:
    images = np.repeat(pool(), 3, axis=3)
    detector = mcod(**TINY).fit(images)
    with pytest.raises(ImageError, match="looks like one image"):
        detector.predict(images[0])


def test_a_pool_is_ranked_from_any_source(mvtec_folder: Path) -> None:
    images, detector = pool(), mcod(contamination=3 / 40, **TINY)
    expected = detector.fit_predict(images)
    assert (detector.fit_predict(image for image in images) == expected).all()
    normals = len(list((mvtec_folder / "train" / "good").iterdir()))
    assert detector.fit_predict(str(mvtec_folder)).shape == (normals,)


def test_the_number_of_features_is_that_of_the_last_fit() -> None:
    images = pool()
    detector = mcod(image_shape=(32, 32), **TINY)
    detector.fit_predict(images.reshape(40, -1))
    assert detector.n_features_in_ == 1024
    assert not hasattr(detector.fit(images), "n_features_in_")
