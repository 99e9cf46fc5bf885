"""The options of a search, declared once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from daad.data.tiles import Tiling
from daad.settings import Settings

if TYPE_CHECKING:
    from daad.runtime.judge import Judge


class SearchPlan(Settings):
    """What decides a search, apart from the scenes and the detector."""

    top: int = Field(50, ge=1, le=100_000, description="places to keep, of all scenes together")
    tile: int | tuple[int, int] | None = Field(
        None,
        description="side of a tile (or height and width) in pixels; by default the detector's, or its model's size",
    )
    overlap: float | None = Field(
        None,
        ge=0,
        le=0.9,
        description="share of its side that a tile shares with the next; by default the detector's, or 0.25",
    )
    max_no_data: float = Field(
        0.0, ge=0, lt=1, description="share of a tile that may be without data; tiles with more are not judged"
    )
    no_data: float | None = Field(
        None,
        description="pixel value that means no data, such as 0 for black borders, beside what a file says of itself",
    )
    per_scene: bool = Field(
        False,
        description="rank by how far a tile lies from the others of its own scene, so that no bright scene takes all "
        "places",
    )

    def tiling(self, judge: Judge) -> Tiling:
        """The tiles asked for; by default those of the judge, or of its model's size, so that no pixel is shrunk."""
        trained = judge.preprocess.tiles
        if self.tile is None and trained is not None:
            return trained if self.overlap is None else Tiling.of((trained.height, trained.width), self.overlap)
        size = (judge.preprocess.height, judge.preprocess.width) if self.tile is None else self.tile
        return Tiling.of(size, 0.25 if self.overlap is None else self.overlap)
