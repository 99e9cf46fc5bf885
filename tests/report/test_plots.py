"""Plots: the right counts, the right point, and nothing that a page could not hold inline."""

from __future__ import annotations

import math
import re

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daad.metrics.intervals import Interval
from daad.report.plots import bin_edges, interval_text, pool_plot, roc_plot, score_plot

LABELS = np.repeat([0, 1], 20)
SCORES = np.concatenate([np.linspace(0.1, 0.5, 20), np.linspace(0.4, 3, 20)])
AUROC = Interval(0.95, 0.9, 0.99)


def both_plots():
    return [roc_plot(LABELS, SCORES, 0.45, AUROC), score_plot(LABELS, SCORES, SCORES[:20], 0.45)]


def test_plots_are_inline_svg_without_references():
    for svg in both_plots():
        assert svg.startswith("<svg viewBox=")
        assert svg.rstrip().endswith("</svg>")
        assert not re.search(r"https?:|xmlns|<style|<metadata|<!--", svg)


def test_ink_follows_the_page():
    for svg in both_plots():
        assert {"var(--ink)", "var(--line)"} <= set(re.findall(r"var\(--\w+\)", svg))
        assert not re.search(r"#0[1-9]0[1-9]0[1-9]", svg)


def test_ids_do_not_clash_and_every_reference_has_one():
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in both_plots()]
    assert not ids[0] & ids[1]
    for svg, of_plot in zip(both_plots(), ids, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= of_plot


def test_plots_are_repeatable_and_leave_matplotlib_alone():
    before = dict(mpl.rcParams)
    assert both_plots() == both_plots()
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_no_curve_but_scores(label):
    labels = np.full(5, label)
    assert roc_plot(labels, np.arange(5.0), 2.0, Interval(math.nan, math.nan, math.nan)) is None
    assert score_plot(labels, np.arange(5.0), [1.0], 2.0).startswith("<svg")


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50))
def test_bins_hold_every_finite_value(values):
    edges, logarithmic = bin_edges(np.array([*values, np.inf, np.nan]))
    assert (np.diff(edges) > 0).all()
    assert edges[0] <= min(values) + 1e-9 * abs(min(values))
    assert edges[-1] >= max(values) - 1e-9 * abs(max(values))
    assert not logarithmic or min(values) > 0


@pytest.mark.parametrize(
    ("values", "expected"), [([1, 101], True), ([1, 99], False), ([0, 1000], False), ([-1, 5], False)]
)
def test_the_axis_is_logarithmic_beyond_two_decades_of_positive_values(values, expected):
    assert bin_edges(np.array(values, float))[1] is expected


@pytest.mark.parametrize("scores", [np.full(40, 0.3), np.zeros(40), np.geomspace(1e-6, 1e3, 40), np.full(40, np.inf)])
def test_odd_scores_still_give_plots(scores):
    assert score_plot(LABELS, scores, [0.3], 0.3).startswith("<svg")
    assert roc_plot(LABELS, scores, 0.3, AUROC).startswith("<svg")


def test_an_interval_without_width_is_left_out():
    assert interval_text(AUROC) == "0.950 (95 % interval 0.900 to 0.990)"
    assert interval_text(Interval(1, 1, 1)) == "1.000"
    assert interval_text(Interval(0.9, math.nan, math.nan)) == "0.900"


def test_the_pool_plot_counts_every_image_once() -> None:
    svg = pool_plot(np.arange(10.0), np.arange(10) >= 8)
    assert svg.startswith("<svg") and "pool-" in svg
