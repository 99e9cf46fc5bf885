"""From anything a user may hand over to a stream of decoded, preprocessed images: bounded memory, decoding ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from daad.data.decode import decode
from daad.data.layouts import as_sample, read_layout
from daad.data.prefetch import in_order
from daad.data.preprocess import Preprocess
from daad.data.sample import Sample
from daad.data.sources import is_file
from daad.data.tensors import is_tensor
from daad.errors import ImageError

T = TypeVar("T")
Ints = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image as the model takes it, with the size it had; or why it could not be read."""

    sample: Sample
    image: Ints | None
    shape: tuple[int, int]
    error: str | None = None


def samples_of(source: Any) -> Iterator[Sample]:
    """The images of a path, folder, layout, array, PIL image, bytes, list or iterator, one at a time."""
    if isinstance(source, Iterator) and not is_file(source):
        return (as_sample(_own_copy(item), index) for index, item in enumerate(source))
    return iter(read_layout(source, split=None))


def _own_copy(item: Any) -> Any:
    """Arrays are copied: a camera may fill one buffer again and again while earlier frames wait to be judged."""
    if is_tensor(item):
        return item.clone()
    return np.copy(item) if isinstance(item, np.ndarray) else item


def prepare(sample: Sample, preprocess: Preprocess) -> Prepared:
    """Decode and preprocess one image; a bad one is recorded, not raised."""
    try:
        image = decode(sample.image, name=sample.name)
        height, width = image.shape[:2]
        return Prepared(sample, preprocess.apply(image, name=sample.name), (height, width))
    except ImageError as error:
        return Prepared(sample, None, (0, 0), str(error))


def prepared(samples: Iterable[Sample], preprocess: Preprocess, *, ahead: int, workers: int) -> Iterator[Prepared]:
    """Decode in `workers` threads, at most `ahead` images before they are asked for, in the order given."""
    return in_order(partial(prepare, preprocess=preprocess), samples, workers=workers, ahead=ahead)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` items."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
