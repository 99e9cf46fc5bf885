"""What is known of a scene while it is searched: arrays in memory or mapped from a folder, from which a stopped search
goes on."""

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
from daad.search.canvas import small_shape

SAVE_EVERY_S = 2.0
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Kept:
    """The arrays of a searched scene: in memory, or read from `folder` whenever they are asked for, so that a thousand
    scenes hold neither memory nor open files."""

    folder: Path | None
    arrays: Mapping[str, Array]

    def __getitem__(self, name: str) -> Array:
        if self.folder is None:
            return self.arrays[name]
        found: Array = np.load(self.folder / f"{name}.npy", allow_pickle=False)
        return found


class SceneState:
    """Of a scene of `grid` (rows, columns) of tiles: `scores`, NaN where a tile was not judged; `peaks`, (x, y) of the
    highest map value of each tile; the small `map` and `thumbnail`; and how many tile rows are `done`."""

    scores: npt.NDArray[np.float64]
    peaks: npt.NDArray[np.int32]
    map: npt.NDArray[np.float32]
    thumbnail: npt.NDArray[Any]

    def __init__(
        self, folder: Path | None, identity: str, grid: tuple[int, int], shape: tuple[int, int], bands: int, dtype: str
    ) -> None:
        self._folder, self._identity, self._saved = folder, identity, monotonic()
        small = small_shape(*shape)
        self._wanted: dict[str, tuple[tuple[int, ...], Any, Any]] = {
            "scores": (grid, np.float64, np.nan),
            "peaks": ((*grid, 2), np.int32, 0),
            "map": (small, np.float32, np.nan),
            "thumbnail": ((*small, bands), np.dtype(dtype), 0),
        }
        self.done = 0

    @classmethod
    def begin(cls, *arguments: Any) -> SceneState:
        """A scene of which nothing is known yet; what an earlier search left in the folder is replaced."""
        state = cls(*arguments)
        if state._folder is not None:
            state._folder.mkdir(parents=True, exist_ok=True)
            state._progress.unlink(missing_ok=True)
        for name, (shape, dtype, value) in state._wanted.items():
            array = state._new(name, shape, dtype)
            array[...] = value
            setattr(state, name, array)
        return state

    @classmethod
    def resume(cls, *arguments: Any) -> SceneState:
        """Where an earlier search of the same scene with the same detector stopped; from the beginning if there was
        none, or if it is damaged."""
        state = cls(*arguments)
        done = state._found()
        if done is None:
            return cls.begin(*arguments)
        try:
            for name, (shape, dtype, _) in state._wanted.items():
                array = np.load(state._file(name), mmap_mode="r+", allow_pickle=False)
                if array.shape != shape or array.dtype != dtype:
                    raise ValueError(f"{name} has the shape {array.shape}")
                setattr(state, name, array)
        except (OSError, ValueError, EOFError):
            return cls.begin(*arguments)
        state.done = done
        return state

    def advance(self, done: int, *, finished: bool = False) -> None:
        """Note that so many tile rows are done; now and then, and at the end, this reaches the disk."""
        self.done = done
        if self._folder is None or (not finished and monotonic() - self._saved < SAVE_EVERY_S):
            return
        for name in self._wanted:
            getattr(self, name).flush()
        write_atomically(self._progress, json.dumps({"identity": self._identity, "done": done}).encode())
        self._saved = monotonic()

    def keep(self) -> Kept:
        """What was found; the state is of no use afterwards."""
        arrays = {name: getattr(self, name) for name in self._wanted}
        if self._folder is None:
            return Kept(None, arrays)
        for name, array in arrays.items():
            array.flush()
            delattr(self, name)
        return Kept(self._folder, {})

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

    def _found(self) -> int | None:
        """Tile rows that are done, if this scene was begun with all the same."""
        if self._folder is None:
            return None
        try:
            found = json.loads(self._progress.read_text(encoding="utf-8"))
            done = int(found["done"])
            return done if found["identity"] == self._identity and 0 <= done <= self._wanted["scores"][0][0] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


@contextmanager
def search_folder(folder: Path | None, *, resume: bool) -> Iterator[Path | None]:
    """A folder for the states of one search at a time; without `resume`, those of earlier ones are removed."""
    if folder is None:
        yield None
        return
    with only_one(folder):
        mark(folder, SEARCH)
        if not resume:
            for old in folder.glob("scene-*"):
                shutil.rmtree(old, ignore_errors=True)
        yield folder
