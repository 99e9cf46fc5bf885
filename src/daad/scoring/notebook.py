"""What a notebook shows of a prediction and an evaluation: small pictures inside the HTML, nothing beside it."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from daad.data.preprocess import resize_map
from daad.scoring.heat import RGB, display_rgb, heat_map, overlay

if TYPE_CHECKING:
    from daad.metrics.intervals import Interval

SIDE = 224  # pixels of a picture's longer side
WIDTH, HEIGHT, BINS = 420, 160, 30  # of the histogram
GOOD, ANOMALOUS = "#3b7cb8", "#e07b27"
STYLE = "font-family:sans-serif;font-size:13px"


def prediction_html(prediction: Any) -> str:
    """Of a `Prediction`: the verdict, and as pictures the image, its heat, the map alone and the reconstruction."""
    name = html.escape(prediction.name)
    if prediction.error is not None:
        return f'<div style="{STYLE}"><b>{name}</b>: not judged: {html.escape(prediction.error)}</div>'
    verdict = "anomalous" if prediction.is_anomalous else "good"
    regions = f"{len(prediction.regions)} region{'' if len(prediction.regions) == 1 else 's'}"
    line = (
        f"<b>{name}</b>: {verdict}, score {prediction.score:.4g} (threshold {prediction.threshold:.4g}), "
        f"p-value {prediction.p_value:.3g}, {regions}"
    )
    pictures = "".join(_figure(title, picture) for title, picture in _pictures(prediction).items())
    return f'<div style="{STYLE}">{line}<div style="display:flex;gap:8px;margin-top:6px">{pictures}</div></div>'


def evaluation_html(
    metrics: Mapping[str, Interval], labels: npt.NDArray[Any], scores: npt.NDArray[Any], notes: Sequence[str]
) -> str:
    """A table of metrics with their intervals, and the scores of good and anomalous images as a histogram."""
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{_number(interval.value)}</td>"
        f"<td>{_number(interval.low)} to {_number(interval.high)}</td></tr>"
        for name, interval in metrics.items()
    )
    table = f"<table><tr><th>metric</th><th>value</th><th>interval</th></tr>{rows}</table>"
    remarks = "".join(f"<div>note: {html.escape(note)}</div>" for note in notes)
    histogram = scores_svg(labels, scores)
    return f'<div style="{STYLE}"><div style="display:flex;gap:24px">{table}{histogram}</div>{remarks}</div>'


def scores_svg(labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> str:
    """Counts of scores (N,) of good (label 0) and anomalous (label 1) images over shared bins, as SVG."""
    edges = np.histogram_bin_edges(scores, BINS)
    counts = {label: np.histogram(scores[labels == label], edges)[0] for label in (0, 1)}
    highest = max(1, *(int(count.max()) for count in counts.values()))
    step, base = WIDTH / BINS, HEIGHT - 18
    bars = "".join(
        f'<rect x="{i * step:.1f}" y="{base - count / highest * (base - 16):.1f}" width="{step - 1:.1f}" '
        f'height="{count / highest * (base - 16):.1f}" fill="{colour}" fill-opacity="0.6"/>'
        for label, colour in ((0, GOOD), (1, ANOMALOUS))
        for i, count in enumerate(counts[label].tolist())
        if count
    )
    legend = (
        f'<text x="4" y="12" fill="{GOOD}">good ({int((labels == 0).sum())})</text>'
        f'<text x="90" y="12" fill="{ANOMALOUS}">anomalous ({int((labels == 1).sum())})</text>'
        f'<text x="0" y="{HEIGHT - 4}">{edges[0]:.3g}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">score {edges[-1]:.3g}</text>'
    )
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" font-size="11" fill="currentColor" role="img" '
        f'aria-label="histogram of scores">{bars}{legend}</svg>'
    )


def _pictures(prediction: Any) -> dict[str, RGB]:
    pictures: dict[str, RGB] = {}
    if prediction.anomaly_map is None:
        return pictures
    image = prediction.image
    height, width = prediction.anomaly_map.shape
    factor = min(1.0, SIDE / max(height, width))
    shape = image.shape[:2] if image is not None else (max(1, round(height * factor)), max(1, round(width * factor)))
    anomaly_map = resize_map(prediction.anomaly_map, (shape[0], shape[1]))
    if image is not None:
        pictures["image"] = display_rgb(image)
        pictures["overlay"] = overlay(image, anomaly_map, prediction.map_threshold)
    pictures["map"] = heat_map(anomaly_map, prediction.map_threshold)
    if prediction.reconstruction is not None:
        pictures["reconstruction"] = display_rgb(prediction.reconstruction)
    return pictures | {title: display_rgb(picture) for title, picture in prediction.pictures.items()}


def _figure(title: str, picture: RGB) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    height, width = picture.shape[:2]
    factor = SIDE / max(height, width)
    size = f'width="{max(1, round(width * factor))}" height="{max(1, round(height * factor))}"'
    source = f'<img src="data:image/png;base64,{data}" {size} alt="{html.escape(title)}" style="image-rendering:auto">'
    return f'<figure style="margin:0">{source}<figcaption>{html.escape(title)}</figcaption></figure>'


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
