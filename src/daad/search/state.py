"""The state of a scene's search: arrays in memory, or mapped from a folder from which a stopped search is resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt

from daad.data.generated_files import SEARCH, mark
from daad.files import only_one, write_atomically
from daad.search.canvas import overview_shape

SAVE_EVERY_S = 2.0
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SceneArrays:
    """The arrays of a searched scene by name: in memory, or read from `folder` at each access.

    So a thousand scenes take neither memory nor open files.
    """

    folder: Path | None
    arrays: Mapping[str, Array]

    def __getitem__(self, name: str) -> Array:
        if self.folder is None:
            return self.arrays[name]
        array: Array = np.load(self.folder / f"{name}.npy", allow_pickle=False)
        return array


class SceneState:
    """The arrays of a scene while it is searched, and how many of its tile rows are `done`.

    Args:
        folder: where the arrays are kept; None: in memory.
        identity: a hash of scene, detector and options; a search is resumed only with the same one.
        grid: (rows, columns) of tiles.
        shape: (height, width) of the scene in pixels.
        bands: of the thumbnail.
        dtype: of the scene's pixels.

    Attributes:
        scores: of each tile (rows, columns), NaN where it was not judged.
        peaks: (x, y) of the highest map value of each tile (rows, columns, 2), in pixels of the scene.
        map: the overview of the scene's map (h, w), NaN where there is no data.
        thumbnail: the overview of the scene's pixels (h, w, bands).
    """

    scores: npt.NDArray[np.float64]
    peaks: npt.NDArray[np.int32]
    map: npt.NDArray[np.float32]
    thumbnail: npt.NDArray[Any]

    def __init__(
        self, folder: Path | None, identity: str, grid: tuple[int, int], shape: tuple[int, int], bands: int, dtype: str
    ) -> None:
        self._folder, self._identity, self._saved = folder, identity, monotonic()
        overview = overview_shape(*shape)
        self._specs: dict[str, tuple[tuple[int, ...], Any, Any]] = {  # shape, dtype, first value
            "scores": (grid, np.float64, np.nan),
            "peaks": ((*grid, 2), np.int32, 0),
            "map": (overview, np.float32, np.nan),
            "thumbnail": ((*overview, bands), np.dtype(dtype), 0),
        }
        self.done = 0

    @classmethod
    def begin(cls, *arguments: Any) -> SceneState:
        """A scene of which nothing is searched yet; the arrays of an earlier search in the folder are replaced."""
        state = cls(*arguments)
        if state._folder is not None:
            state._folder.mkdir(parents=True, exist_ok=True)
            state._progress.unlink(missing_ok=True)
        for name, (shape, dtype, value) in state._specs.items():
            array = state._new(name, shape, dtype)
            array[...] = value
            setattr(state, name, array)
        return state

    @classmethod
    def resume(cls, *arguments: Any) -> SceneState:
        """The state at which an earlier search with the same `identity` stopped.

        It is that of `begin` if there was none, or if it is damaged.
        """
        state = cls(*arguments)
        done = state._rows_done()
        if done is None:
            return cls.begin(*arguments)
        try:
            for name, (shape, dtype, _) in state._specs.items():
                array = np.load(state._file(name), mmap_mode="r+", allow_pickle=False)
                if array.shape != shape or array.dtype != dtype:
                    raise ValueError(f"{name} has the shape {array.shape}")
                setattr(state, name, array)
        except (OSError, ValueError, EOFError):
            return cls.begin(*arguments)
        state.done = done
        return state

    def advance(self, done: int, *, finished: bool = False) -> None:
        """Record that so many tile rows are done; written to disk every SAVE_EVERY_S, and at the end."""
        self.done = done
        if self._folder is None or (not finished and monotonic() - self._saved < SAVE_EVERY_S):
            return
        for name in self._specs:
            getattr(self, name).flush()
        write_atomically(self._progress, json.dumps({"identity": self._identity, "done": done}).encode())
        self._saved = monotonic()

    def finish(self) -> SceneArrays:
        """The arrays of the scene; the state must not be used afterwards."""
        arrays = {name: getattr(self, name) for name in self._specs}
        if self._folder is None:
            return SceneArrays(None, arrays)
        for name, array in arrays.items():
            array.flush()
            delattr(self, name)
        return SceneArrays(self._folder, {})

    @property
    def _progress(self) -> Path:
        assert self._folder is not None
        return self._folder / "progress.json"

    def _file(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{name}.npy"

    def _new(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        if self._folder is None:
            return np.empty(shape, dtype)
        return np.lib.format.open_memmap(self._file(name), "w+", dtype, shape)

    def _rows_done(self) -> int | None:
        """How many tile rows an earlier search with the same identity has done; None if there was none."""
        if self._folder is None:
            return None
        try:
            saved = json.loads(self._progress.read_text(encoding="utf-8"))
            done = int(saved["done"])
            return done if saved["identity"] == self._identity and 0 <= done <= self._specs["scores"][0][0] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


@contextmanager
def search_folder(folder: Path | None, *, resume: bool) -> Iterator[Path | None]:
    """A locked folder for the states of one search; without `resume`, those of earlier searches are removed."""
    if folder is None:
        yield None
        return
    with only_one(folder):
        mark(folder, SEARCH)
        if not resume:
            for old in folder.glob("scene-*"):
                shutil.rmtree(old, ignore_errors=True)
        yield folder
