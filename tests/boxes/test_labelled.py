"""The training rows of a detector of boxes, and how often they are repeated."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from daad.boxes.labelled import MOST_REPEATS, PreparedImages, file_digest


def prepared(counts: list[int], rows: list[int]) -> PreparedImages:
    boxes = [np.zeros((count, 4)) for count in counts]
    labels = [np.zeros(count, np.int64) for count in counts]
    nothing = cast("Any", None)
    return PreparedImages(nothing, nothing, boxes, labels, np.array(rows), [], np.empty(0, np.int64), [], [])


@pytest.mark.parametrize(
    ("counts", "repeats"),
    [([1, 2, 1, 0], 1), ([1, 0, 0, 0], 3), ([0, 1, 0, 1, 0], 2), ([3, *[0] * 100], MOST_REPEATS), ([0, 0], 1)],
)
def test_images_with_boxes_are_repeated_to_be_about_half(counts: list[int], repeats: int) -> None:
    rows = prepared(counts, list(range(len(counts)))).balanced_rows.tolist()
    assert rows == sorted(rows)
    assert [rows.count(row) for row in range(len(counts))] == [repeats if count else 1 for count in counts]


def test_held_out_rows_are_never_trained_on() -> None:
    images = prepared([1, 0, 0, 1, 0], [0, 1, 2])
    assert images.balanced_rows.tolist() == [0, 0, 1, 2] and images.held_out_rows.tolist() == [3, 4]


def test_a_file_that_is_gone_has_no_digest(tmp_path: Any) -> None:
    (tmp_path / "one").write_bytes(b"1")
    assert len(file_digest(tmp_path / "one")) == 16 and file_digest(tmp_path / "two") == ""
