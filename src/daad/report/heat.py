"""Anomaly maps as pictures: one colour scale tied to the map threshold, so that a colour means the same everywhere.

Up to the threshold a map is navy to steel blue; above it orange to pale yellow. Lightness rises all along, and blue
against orange is told apart with any common colour blindness.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from daad.data.generated_files import PICTURE_KEY
from daad.scoring.prediction import Prediction

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


def save_pictures(
    folder: str | Path, prediction: Prediction, image: npt.NDArray[Any], map_threshold: float
) -> list[Path]:
    """Write `<name>_heat.png` and `<name>_overlay.png` for an image (H, W, C) and return their paths.

    Sub-folders in the name are kept inside `folder`, unsafe characters become `_`, and nothing is ever written outside
    of it. A picture made earlier for the same image is replaced; where the file belongs to anything else, a hash of
    the name is added. Without an anomaly map (the image was not judged) nothing is written.
    """
    if prediction.anomaly_map is None:
        return []
    pictures = {
        "heat": heat_map(prediction.anomaly_map, map_threshold),
        "overlay": overlay(image, prediction.anomaly_map, map_threshold),
    }
    return [save_picture(folder, prediction.name, kind, picture) for kind, picture in pictures.items()]


def save_picture(folder: str | Path, name: str, kind: str, picture: RGB) -> Path:
    """Write `<name>_<kind>.png` for the image of that name; see `save_pictures` for where it goes."""
    place = Path(folder).joinpath(*_safe_parts(name))
    place.parent.mkdir(parents=True, exist_ok=True)
    return _save(picture, place, kind, name.encode("utf-8", "replace").decode("utf-8"))


def own_picture(label: str) -> PngInfo:
    """What tells a picture that daad made, of the image of this name, from a user's own."""
    about = PngInfo()
    about.add_itxt(PICTURE_KEY, label)
    return about


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


def _safe_parts(name: str) -> list[str]:
    """Folders and stem of an image name, each harmless as a file name on any system."""
    *folders, last = re.split(r"[/\\]", name)
    stem = last.rpartition(".")[0] or last
    return [part for part in map(_safe, folders) if part] + [_safe(stem) or "image"]


def _safe(part: str) -> str:
    clean = re.sub(r"[^\w\-. ()\[\]+=@,]", "_", part).strip(". ")
    return clean.encode()[:120].decode(errors="ignore")


def _save(picture: RGB, place: Path, kind: str, label: str) -> Path:
    path = place.with_name(f"{place.name}_{kind}.png")
    if path.exists() and not _made_for(path, label):
        path = place.with_name(f"{place.name}_{hashlib.sha256(label.encode()).hexdigest()[:8]}_{kind}.png")
    Image.fromarray(picture).save(path, pnginfo=own_picture(label))
    return path


def _made_for(path: Path, label: str) -> bool:
    try:
        with Image.open(path, formats=["PNG"]) as earlier:
            return bool(earlier.info.get(PICTURE_KEY) == label)
    except OSError:
        return False


def _ramp(colours: list[tuple[int, int, int]]) -> npt.NDArray[np.float64]:
    anchors = np.linspace(0, 127, len(colours))
    return np.stack([np.interp(np.arange(128), anchors, channel) for channel in np.transpose(colours)], axis=1)


_TABLE: RGB = np.rint(np.concatenate([_ramp(_COOL), _ramp(_WARM)])).astype(np.uint8)
