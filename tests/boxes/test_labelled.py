"""What a detector of boxes learns from, and how often."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from daad.boxes.labelled import MOST_OFTEN, Labelled, file_digest


def labelled(counts: list[int], rows: list[int]) -> Labelled:
    boxes = [np.zeros((count, 4)) for count in counts]
    labels = [np.zeros(count, np.int64) for count in counts]
    nothing = cast("Any", None)
    return Labelled(nothing, nothing, boxes, labels, np.array(rows), [], np.empty(0, np.int64), [], [])


@pytest.mark.parametrize(
    ("counts", "often"),
    [([1, 2, 1, 0], 1), ([1, 0, 0, 0], 3), ([0, 1, 0, 1, 0], 2), ([3, *[0] * 100], MOST_OFTEN), ([0, 0], 1)],
)
def test_images_with_boxes_are_drawn_about_as_often_as_others(counts: list[int], often: int) -> None:
    found = labelled(counts, list(range(len(counts)))).lots.tolist()
    assert found == sorted(found)
    assert [found.count(row) for row in range(len(counts))] == [often if count else 1 for count in counts]


def test_what_is_held_out_is_never_drawn() -> None:
    images = labelled([1, 0, 0, 1, 0], [0, 1, 2])
    assert images.lots.tolist() == [0, 0, 1, 2] and images.held_out.tolist() == [3, 4]


def test_a_file_that_is_gone_has_no_digest(tmp_path: Any) -> None:
    (tmp_path / "one").write_bytes(b"1")
    assert len(file_digest(tmp_path / "one")) == 16 and file_digest(tmp_path / "two") == ""
