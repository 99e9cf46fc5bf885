"""A notebook shows a prediction and an evaluation as pictures."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from daad import Detector, Prediction
from daad.scoring.notebook import scores_svg
from tests.images import striped


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.fit(striped(10, 32, 40, 3), model="ae", image_size=32, size="nano", steps=2, batch_size=4)


def pictures(page: str) -> dict[str, Image.Image]:
    found = re.findall(r'base64,([^"]+)" width="\d+" height="\d+" alt="([^"]+)"', page)
    return {title: Image.open(io.BytesIO(base64.b64decode(data))) for data, title in found}


def test_a_prediction_shows_image_heat_and_reconstruction(detector: Detector) -> None:
    prediction = detector.predict_one(striped(1, 64, 80, 3)[0])
    page = prediction._repr_html_()
    shown = pictures(page)
    assert list(shown) == ["image", "overlay", "map", "reconstruction"]
    assert {picture.size for picture in shown.values()} == {(detector.preprocess.width, detector.preprocess.height)}
    assert ("anomalous" if prediction.is_anomalous else "good") in page and f"{prediction.threshold:.4g}" in page


def test_of_large_images_judged_by_tiles_the_map_is_shown_in_small(detector: Detector) -> None:
    prediction = detector.with_tiles(32).predict_one(striped(1, 400, 600, 3)[0])
    assert {title: picture.size for title, picture in pictures(prediction._repr_html_()).items()} == {"map": (224, 149)}


def test_what_was_not_judged_says_why_and_names_are_no_markup() -> None:
    page = Prediction("<b>.png", error="is <empty>")._repr_html_()
    assert "&lt;b&gt;.png" in page and "is &lt;empty&gt;" in page


def test_without_maps_the_verdict_is_shown(detector: Detector) -> None:
    (prediction,) = detector.predict(striped(1, 32, 40, 3), maps=False)
    assert pictures(prediction._repr_html_()) == {} and "p-value" in prediction._repr_html_()


def test_an_evaluation_shows_metrics_and_both_kinds_of_scores(mvtec_folder: Path) -> None:
    fitted = Detector.fit(mvtec_folder, model="ae", image_size=32, size="nano", steps=2)
    page = fitted.evaluate(mvtec_folder)._repr_html_()
    assert "image_auroc" in page and "good (6)" in page and "anomalous (6)" in page


def test_the_histogram_counts_every_image() -> None:
    labels, scores = np.array([0] * 7 + [1] * 5), np.concatenate([np.zeros(7), np.ones(5)])
    bars = ElementTree.fromstring(scores_svg(labels, scores)).findall("rect")
    heights = sorted(float(bar.attrib["height"]) for bar in bars)
    assert len(bars) == 2 and heights[0] / heights[1] == pytest.approx(5 / 7, rel=0.01)
