"""Anomaly maps as pictures: one colour scale tied to the map threshold, so that a colour means the same everywhere.

Up to the threshold a map is navy to steel blue; above it orange to pale yellow. Lightness rises all along, and blue
against orange is told apart with any common colour blindness.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]  # (H, W, 3)
Map = npt.NDArray[np.float32]  # (H, W)
Mask = npt.NDArray[np.bool_]  # (H, W)

SATURATION = 3.0  # times the threshold; the warmest colour from there on
OUTLINE = (217, 56, 30)
_COOL = [(15, 26, 51), (31, 51, 88), (53, 82, 127), (86, 119, 159)]
_WARM = [(200, 69, 43), (242, 142, 43), (251, 210, 77), (255, 243, 176)]
_TWO_PIXELS_FROM = 400


def display_rgb(image: npt.NDArray[Any]) -> RGB:
    """Bring an image (H, W, C) uint8 or uint16 to RGB (H, W, 3) uint8 for the eye.

    One channel is grey and three are RGB; any other number is shown as the grey mean of all channels, which hides none
    of them and invents no colour. 16 bits become x / 257, rounded.
    """
    if image.shape[2] not in (1, 3):
        image = np.rint(image.mean(axis=2, keepdims=True, dtype=np.float32)).astype(image.dtype)
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def heat_map(anomaly_map: Map, map_threshold: float) -> RGB:
    """Colour a map (H, W) float32 by its value alone: cool up to the threshold, warm above, full at 3 times it.

    A value has the same colour on every image. NaN is shown as the coolest colour. With a threshold of 0 or below
    there is no ratio to show: what is above it has the warmest colour and the rest the coolest.
    """
    ratio = _ratio(anomaly_map, map_threshold)
    cool = np.minimum(ratio, 1) * 127
    warm = 128 + (ratio - 1) / (SATURATION - 1) * 127
    position = np.where(_above(anomaly_map, map_threshold), np.maximum(warm, 128), cool)
    return _TABLE[position.astype(np.uint8)]


def overlay(image: npt.NDArray[Any], anomaly_map: Map, map_threshold: float, *, alpha: float = 0.5) -> RGB:
    """Lay the heat of a map (H, W) over its image (H, W, C), with an outline around what is above the threshold.

    Opacity is 0 up to half the threshold, alpha / 2 at the threshold and `alpha` from 1.5 times it: a good image stays
    as it is. Raises ValueError if the two differ in size.
    """
    if image.shape[:2] != anomaly_map.shape:
        raise ValueError(f"image and map must have one size, found {image.shape[:2]} and {anomaly_map.shape}")
    picture = display_rgb(image).astype(np.float32)
    opacity = alpha * np.clip(_ratio(anomaly_map, map_threshold) - 0.5, 0, 1)[:, :, None]
    mixed = picture + opacity * (heat_map(anomaly_map, map_threshold) - picture)
    return outlined(np.rint(mixed).astype(np.uint8), _above(anomaly_map, map_threshold), OUTLINE)


def outlined(picture: RGB, mask: Mask, colour: tuple[int, int, int]) -> RGB:
    """A copy of the picture with the border of the mask drawn in a colour, 1 or 2 pixels wide, on a darker rim."""
    line = contours(mask)
    if max(mask.shape) >= _TWO_PIXELS_FROM:
        line |= contours(mask & ~line)
    result = picture.copy()
    rim = _dilated(line) & ~line
    result[rim] = result[rim] // 2
    result[line] = colour
    return result


def contours(mask: Mask) -> Mask:
    """The inner border of a mask (H, W): its pixels that have one of 8 neighbours, or the image's edge, outside."""
    return mask & _dilated(~mask, edge=True)


def _ratio(anomaly_map: Map, threshold: float) -> Map:
    """The map over its threshold, in [0, SATURATION]."""
    if threshold <= 0:
        return np.where(_above(anomaly_map, threshold), SATURATION, 0).astype(np.float32)
    with np.errstate(over="ignore"):
        ratio = anomaly_map / max(np.float32(threshold), np.finfo(np.float32).smallest_subnormal)
    clipped: Map = np.clip(np.nan_to_num(ratio, nan=0.0), 0, SATURATION).astype(np.float32)
    return clipped


def _above(anomaly_map: Map, threshold: float) -> Mask:
    above: Mask = anomaly_map > threshold
    return above


def _dilated(mask: Mask, *, edge: bool = False) -> Mask:
    """The mask and its 8-neighbours; with `edge`, all around the image counts as part of the mask."""
    padded = np.pad(mask, 1, constant_values=edge)
    tall = padded[:-2] | padded[1:-1] | padded[2:]
    return tall[:, :-2] | tall[:, 1:-1] | tall[:, 2:]


def _ramp(colours: list[tuple[int, int, int]]) -> npt.NDArray[np.float64]:
    anchors = np.linspace(0, 127, len(colours))
    return np.stack([np.interp(np.arange(128), anchors, channel) for channel in np.transpose(colours)], axis=1)


_TABLE: RGB = np.rint(np.concatenate([_ramp(_COOL), _ramp(_WARM)])).astype(np.uint8)
