"""What an evaluation of boxes holds a detector against: facts of the labelled boxes that it learnt from."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class MeanBox(BaseModel):
    """The mean box of a class (left, top, right, bottom), in shares of the image, and the share of images that show the
    class: what a detector that looks at no image would say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    box: tuple[float, float, float, float]
    share: Share


class BoxReference(BaseModel):
    """`size_thirds` are the two values of sqrt(width height), in pixels of the images, that part the boxes in thirds;
    `mean_boxes` by class; `learnt_images` are digests of the images that took part in the fit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_thirds: tuple[float, float] | None = None
    mean_boxes: dict[str, MeanBox] = Field(default_factory=dict)
    learnt_images: tuple[str, ...] = ()
