"""Every box has a layer responsible for it, and anchors that fit it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from daad.boxes.anchors import anchor_boxes, fitted_shapes, scale_ranges, ssd_shapes
from daad.boxes.geometry import iou
from daad.boxes.scod import layout
from daad.boxes.weak_segmentation import ScaleRange, in_scale_range


def test_layers_share_the_boxes_equally_where_their_cells_are_small_enough() -> None:
    scales = np.linspace(30, 120, 91)
    ranges = scale_ranges(scales, (8, 16, 32), 320)
    assert [sum((low < scales) & (scales <= high)) for low, high in ranges] == [31, 30, 30]
    assert ranges[0][0] == 0 and ranges[-1][1] == 320
    assert [high for _, high in ranges[:-1]] == [low for low, _ in ranges[1:]]


def test_no_layer_is_given_boxes_smaller_than_its_cells() -> None:
    assert scale_ranges(np.linspace(9, 12, 50), (8, 16, 32), 320) == [(0, 16), (16, 32), (32, 320)]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.floats(1, 300), st.floats(1, 300)), min_size=1, max_size=40),
    st.sampled_from(["small", "paper"]),
)
def test_every_box_belongs_to_at_least_one_layer(sizes: list[tuple[float, float]], size: str) -> None:
    given_sizes = np.array(sizes)
    settings = layout(size, 300, 300, given_sizes)
    boxes = torch.from_numpy(np.concatenate([np.zeros_like(given_sizes), given_sizes], axis=1))
    layers = torch.stack([in_scale_range(boxes, ScaleRange(*bounds)) for bounds in settings["ranges"]])
    assert layers.any(dim=0).all()
    assert all(width > 0 and height > 0 for shapes in settings["anchors"] for width, height in shapes)


def test_fitted_shapes_find_the_clusters_and_do_not_depend_on_order() -> None:
    random = np.random.default_rng(0)
    centres = np.array([(10.0, 60.0), (25.0, 25.0), (60.0, 10.0)])
    sizes = np.concatenate([centre * np.exp(random.normal(0, 0.05, (30, 2))) for centre in centres])
    shapes = np.array(fitted_shapes(sizes, (0, 100), 3))
    np.testing.assert_allclose(sorted(shapes.tolist()), sorted(centres.tolist()), rtol=0.05)
    permuted = np.array(fitted_shapes(random.permutation(sizes), (0, 100), 3))
    np.testing.assert_allclose(permuted, shapes)


def test_with_few_boxes_the_shapes_are_those_of_ssd() -> None:
    assert fitted_shapes(np.array([[20.0, 20.0]]), (10, 40), 4) == ssd_shapes((10, 40), 4)
    low, middle, wide, tall = ssd_shapes((30, 60), 4)
    assert low == (30, 30) and middle == pytest.approx((42.43, 42.43), abs=0.01)
    assert wide[0] / wide[1] == pytest.approx(2) and wide[0] * wide[1] == pytest.approx(900) and tall == wide[::-1]


def test_anchors_are_centred_in_their_cells() -> None:
    anchors = anchor_boxes((2, 4), [(10.0, 20.0), (6.0, 6.0)], (64, 64))
    assert anchors.shape == (16, 4)
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centres[::2].tolist() == [[x, y] for y in (16, 48) for x in (8, 24, 40, 56)]
    assert (anchors[0] == [3, 6, 13, 26]).all() and (anchors[1] == [5, 13, 11, 19]).all()


def test_the_published_geometry_has_the_published_number_of_anchors() -> None:
    sizes = np.ones((1, 2))
    counts = {}
    for side, grids in ((300, (38, 19, 10, 5, 3, 1)), (512, (64, 32, 16, 8, 4, 2, 1))):
        layers = layout("paper", side, side, sizes)["anchors"]
        assert len(layers) == len(grids)
        counts[side] = sum(grid**2 * len(shapes) for grid, shapes in zip(grids, layers, strict=True))
    assert counts == {300: 8732, 512: 24564}


def test_fitted_anchors_fit_better_than_those_of_ssd() -> None:
    random = np.random.default_rng(1)
    sizes = np.exp(random.normal([2.6, 4.0], 0.3, (200, 2)))
    fitted = layout("small", 160, 160, sizes)
    corners = torch.from_numpy(np.concatenate([80 - sizes / 2, 80 + sizes / 2], axis=1))
    best = []
    for shapes in (fitted["anchors"][1], ssd_shapes(fitted["ranges"][1], 4)):
        anchors = torch.tensor([[80 - w / 2, 80 - h / 2, 80 + w / 2, 80 + h / 2] for w, h in shapes])
        best.append(iou(anchors.double(), corners).max(dim=0).values.mean())
    assert best[0] > best[1] + 0.1
