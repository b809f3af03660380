"""Bring an edited crop back into the photo it came from."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from lc.faces.align import Aligned

__all__ = ["FEATHER", "paste"]

FEATHER = 0.15  # part of the crop's side over which the edit fades in from each border

_FINEST = 8  # a crop pixel becomes at most 8x8 smooth steps; between those, a straight line is as good

_Floats: TypeAlias = npt.NDArray[np.float32]


def paste(
    rgb: Image.Image, edited: Image.Image, aligned: Aligned, reconstruction: Image.Image | None = None
) -> Image.Image:
    """Put an edited crop into the photo; everything outside the crop's square stays bit-identical.

    With a reconstruction, only what the edit changed is added to the photo, so that the photo keeps its own
    detail, which no 64x64 crop holds; an edit equal to its reconstruction gives back the photo, bit for bit.
    Without one, the crop itself is pasted, blurred as it is.

    Args:
        rgb: the photo, mode RGB.
        edited: the model's output for `aligned.crop`, mode RGB, at the crop's size.
        aligned: what `align` or `frame_crop` gave for this photo.
        reconstruction: the model's output for the unedited latent, at the same size.

    Returns:
        A new image, mode RGB, of the photo's size.
    """
    result = rgb.copy()
    left, top, right, bottom = _covered(aligned, rgb.size)
    if left >= right or top >= bottom:
        return result

    size = aligned.crop.width
    side = max(8, round(size * min(aligned.scale, _FINEST)))
    fade = _fade(side)
    # From the region's pixels to those of the enlarged crop.
    linear = np.linalg.inv(aligned.matrix[:, :2]) * (side / size)
    shift = linear @ ((left, top) - aligned.matrix[:, 2])
    coefficients = tuple(np.column_stack([linear, shift]).ravel().tolist())

    def place(values: _Floats) -> _Floats:
        """(side, side) over the crop -> over the region; 0 outside the crop."""
        image = Image.fromarray(values * fade).transform(
            (right - left, bottom - top), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
        )
        return np.asarray(image)

    region = np.array(rgb.crop((left, top, right, bottom)))  # (h, w, 3) uint8
    weight = None if reconstruction is not None else place(np.ones((side, side), np.float32))
    for channel in range(3):
        pixels = region[..., channel].astype(np.float32)
        values = np.asarray(edited, dtype=np.float32)[..., channel]
        if reconstruction is not None:
            values = values - np.asarray(reconstruction, dtype=np.float32)[..., channel]
        added = place(_enlarged(values, side))
        pixels += added if weight is None else added - weight * pixels
        region[..., channel] = np.rint(pixels, out=pixels).clip(0, 255, out=pixels)
    result.paste(Image.fromarray(region), (left, top))
    return result


def _covered(aligned: Aligned, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The photo's part that holds the turned crop: left, top, right, bottom; empty if they do not meet."""
    side = aligned.crop.width
    corners = aligned.matrix @ np.array([[0, side, 0, side], [0, 0, side, side], [1, 1, 1, 1]])  # (2, 4)
    left, top = (max(0, math.floor(value)) for value in corners.min(1))
    right, bottom = (min(end, math.ceil(value)) for end, value in zip(size, corners.max(1), strict=True))
    return left, top, right, bottom


def _enlarged(values: _Floats, side: int) -> _Floats:
    """Bicubic, in floats: a difference of a few grey levels would band if it were rounded first."""
    return np.asarray(Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC))


def _fade(side: int) -> _Floats:
    """(side, side) weights: 0 on the border, a smooth step up to 1 inside."""
    position = np.linspace(0, 1, side, dtype=np.float32)
    ramp = np.clip(np.minimum(position, 1 - position) / FEATHER, 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.asarray(ramp[:, None] * ramp, dtype=np.float32)
