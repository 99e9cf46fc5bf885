"""Torch tensors are images: channels first, as the field has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from daad import DataError, Detector, ImageError
from daad.data.decode import decode
from daad.data.layouts import read_layout
from tests.images import striped

QUICK: dict[str, Any] = {"model": "ae", "image_size": 32, "size": "nano", "steps": 2, "batch_size": 4}


def as_tensor(images: Any) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(images, -1, -3).copy())


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_a_tensor_gives_the_pixels_of_the_array(channels: int) -> None:
    images = striped(3, 20, 30, channels)
    samples = read_layout(as_tensor(images), split="train")
    for sample, image in zip(samples, images, strict=True):
        np.testing.assert_array_equal(decode(sample.image), image)
    np.testing.assert_array_equal(decode(as_tensor(images[0])), images[0])
    np.testing.assert_array_equal(decode(torch.from_numpy(images[0, ..., 0])), images[0, ..., :1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_floats_reach_from_0_to_1(dtype: torch.dtype) -> None:
    image = as_tensor(striped(1, 20, 30, 3)[0]).to(dtype) / 255
    assert decode(image).dtype == np.uint16
    with pytest.raises(ImageError, match=r"outside \[0, 1\]"):
        decode(image * 300)


def test_a_detector_takes_tensors_wherever_it_takes_arrays() -> None:
    images = striped(8, 40, 32, 3)
    by_array, by_tensor = Detector.fit(images, **QUICK), Detector.fit(as_tensor(images), **QUICK)
    np.testing.assert_array_equal(by_array.score(images), by_tensor.score(as_tensor(images)))
    one = by_tensor.predict_one(as_tensor(images[0]).requires_grad_(False))
    assert one.score == by_array.predict_one(images[0]).score
    stream = by_tensor.predict(frame for frame in as_tensor(images))
    assert [prediction.score for prediction in stream] == by_array.score(images, batch_size=16).tolist()
    with pytest.raises(ImageError, match="is one image; give a batch"):
        by_tensor.score(as_tensor(images[0]))


def test_a_buffer_that_is_filled_again_does_not_change_an_earlier_frame() -> None:
    images = striped(8, 32, 32, 1)
    detector, buffer = Detector.fit(images, **QUICK), torch.empty(1, 32, 32, dtype=torch.uint8)
    frames = (buffer.copy_(as_tensor(image)) for image in images)
    assert [p.score for p in detector.predict(frames)] == detector.score(images).tolist()


@pytest.mark.parametrize("shape", [(20, 30, 3), (4, 20, 30, 3), (20, 30, 1)])
def test_channels_that_stand_last_are_told(shape: tuple[int, ...]) -> None:
    with pytest.raises((ImageError, DataError), match=r"channels last; give tensor.permute"):
        decode(read_layout(torch.zeros(shape))[0].image)


def test_what_is_no_image_is_told() -> None:
    with pytest.raises(DataError, match="no image; give"):
        read_layout(torch.zeros(2, 3, 4, 5, 6))
    with pytest.raises(ImageError, match="says nothing of where white is"):
        decode(torch.zeros(1, 20, 30, dtype=torch.int64))
