"""The options of fitting a detector of boxes; impossible ones are refused before an image is read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from daad.data.tiles import Tiling
from daad.detector.options import LearningPlan, check_accelerator
from daad.errors import ConfigError
from daad.presets import over_preset, preset_of

if TYPE_CHECKING:
    from daad.boxes.scod import SCODConfig

COMPLETE_BOXES = 0.9  # share of the boxes that lie completely in a tile, by the default overlap
LEAST_OVERLAP, MOST_OVERLAP = 0.25, 0.5  # bounds of the default overlap
OF_THE_DATA = ("height", "width", "channels", "classes", "ranges", "anchors")
NO_LAYERS = {"ranges": ((0.0, 1.0),), "anchors": (((1.0, 1.0),),)}  # for a size or shape that `SCODConfig` refuses


class BoxPlan(LearningPlan):
    """What decides the fit of a detector of boxes, apart from the images."""

    preset: str = Field("small", description="small (CPU, minutes) or paper (SSD300, GPU)")
    image_size: int | tuple[int, int] | None = Field(
        None,
        description="short side of the image that the network sees, or height and width; at least 64. By default the "
        "preset's, or of tiles their own",
    )
    holdout: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="share of the images kept from training to set the score from which a box is shown",
    )
    tile: int | tuple[int, int] | None = Field(
        None,
        description="learn tiles of this side (or height and width), in pixels of your images, instead of complete "
        "images shrunk to image_size: for large images with small defects. New images, however large, are then "
        "searched by their tiles",
    )
    overlap: float | None = Field(
        None,
        ge=0,
        le=0.9,
        description="share of its side that a tile shares with the next when images are searched; a box up to that "
        "size is seen complete. By default from 0.25 to 0.5, enough for nine boxes of ten",
    )

    def check(self) -> None:
        """Refuse what can be refused before any image is read."""
        from daad.boxes.scod import SCOD, SMALLEST, SCODConfig

        preset_of(SCOD.presets, self.preset)
        check_accelerator(self.accelerator)
        SCODConfig.check_known(self.settings)
        if self.overlap is not None and self.tile is None:
            raise ConfigError("overlap is what tiles share; give tile too")
        for name in OF_THE_DATA:
            if name in self.settings:
                raise ConfigError(f"{name} follows from the images and their boxes; it cannot be set")
        size = self.size()
        height, width = size if isinstance(size, tuple) else (size, size)
        if self.image_size is None and self.tile is not None and min(height, width) < SMALLEST:
            raise ConfigError(
                f"tile={self.tile}: the network sees at least {SMALLEST} pixels; take larger tiles, or enlarge these "
                f"with an image_size of {SMALLEST}"
            )
        self.config(height, width, 1, ("a",), np.array([[16.0, 16.0]]))

    def config(
        self, height: int, width: int, channels: int, classes: tuple[str, ...], sizes: npt.NDArray[np.float64]
    ) -> SCODConfig:
        """The model's config for these images and boxes.

        Args:
            height: of the prepared images in pixels.
            width: of the prepared images in pixels.
            channels: of the prepared images.
            classes: names of the classes, in the order of the network's outputs.
            sizes: width and height (N, 2) of the training boxes in pixels of the prepared images.

        Raises:
            ConfigError: the settings do not fit.
        """
        from daad.boxes.scod import SCODConfig, layout

        settings = self.all_settings()
        size = settings.get("size", "small")
        of_data = layout(size, height, width, sizes) if SCODConfig.has_layers(size, height, width) else NO_LAYERS
        shape = {"height": height, "width": width, "channels": channels}
        return SCODConfig.make(**settings, **shape, classes=classes, **of_data)

    def tiling(self, boxes: npt.NDArray[np.float64]) -> Tiling | None:
        """The tiles of images with these boxes (N, 4); None without tiles.

        An overlap that is not set is so large that nine boxes of ten lie completely in a tile, within its bounds.
        """
        if self.tile is None or self.overlap is not None:
            return None if self.tile is None else Tiling.of(self.tile, self.overlap or 0.0)
        tile = Tiling.of(self.tile)
        shares = (boxes[:, 2:] - boxes[:, :2] + 1) / [tile.width, tile.height]  # 1: a step is rounded to pixels
        needed = float(np.quantile(shares.max(axis=1), COMPLETE_BOXES)) if len(boxes) else LEAST_OVERLAP
        return Tiling.of(self.tile, math.ceil(1000 * min(max(needed, LEAST_OVERLAP), MOST_OVERLAP)) / 1000)

    def size(self) -> int | tuple[int, int]:
        """The short side, or (height, width), to which images are resized; of tiles, by default their own."""
        from daad.boxes.scod import SCOD

        if self.image_size is not None:
            return self.image_size
        tiling = self.tiling(np.empty((0, 4)))
        if tiling is not None:
            return tiling.height, tiling.width
        preset_size = preset_of(SCOD.presets, self.preset).image_size
        assert preset_size is not None
        return preset_size

    def all_settings(self) -> dict[str, Any]:
        """The preset's settings with the user's own over them; steps drop the preset's epochs and the reverse."""
        from daad.boxes.scod import SCOD

        return over_preset(preset_of(SCOD.presets, self.preset).settings, self.settings)
