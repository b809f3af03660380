"""Strands for hair that shows none: black hair in a photo is flat, and another colour laid on it looks like felt.

Noise is drawn out along the directions in which what there is of hair lies: line integral convolution (Cabral and
Leedom 1993) over the structure tensor of the photo.

>>> strands(np.random.default_rng(0).uniform(0, 255, (40, 40, 3)).astype(np.float32), 1.0).shape
(40, 40)
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from lc.faces.filters import LUMA, blurred

__all__ = ["strands"]

_Floats: TypeAlias = npt.NDArray[np.float32]

# Lengths are in units, see `strands`.
_LENGTH, _STEP = 4.0, 0.35  # to either side of a place, how far noise is drawn out, and by how much at once
_WIDTHS = ((0.3, 1.0), (0.8, 1.0), (2.0, 0.8))  # of strands and locks, and how strong they are
_AROUND = 1.5  # within which directions are alike, and a third of them thrice as far
_EVEN = 6.0  # over which light and dark are the same on average
_DARK = 6.0  # grey levels at which light is too little to be compared
_SIDE = 320  # pixels, the most that it is done at


def strands(rgb: _Floats, unit: float) -> _Floats:
    """Lighter and darker strands along the hair of a picture.

    Args:
        rgb: (S, S, 3) of 0..255.
        unit: pixels to one 64th of an aligned crop's side.

    Returns:
        (S, S), of mean 0 and deviation 1; the same for the same picture. Where no hair is it has no meaning.
    """
    side = len(rgb)
    small = min(side, _SIDE)
    unit *= small / side
    seen = np.asarray(cv2.resize(rgb, (small, small), interpolation=cv2.INTER_AREA), dtype=np.float32)
    along, down = _directions(seen, unit)
    noise = _noise(small, unit)
    y, x = (values.astype(np.float32) for values in np.mgrid[:small, :small])
    step = max(1.0, _STEP * unit)
    total = noise.copy()
    for sign in (1, -1):
        place, way = (x, y), (along * sign, down * sign)
        for _ in range(round(max(6.0, _LENGTH * unit) / step)):
            place = place[0] + step * way[0], place[1] + step * way[1]
            there = [_at(values, place, cv2.INTER_NEAREST) for values in (along, down)]
            # Directions have no sign: go on, and not back.
            sense = np.where(there[0] * way[0] + there[1] * way[1] < 0, np.float32(-1), np.float32(1))
            way = there[0] * sense, there[1] * sense
            total += _at(noise, place, cv2.INTER_LINEAR)
    total -= blurred(total, _EVEN * unit)
    total /= total.std() + 1e-6
    return np.asarray(cv2.resize(total, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def _directions(rgb: _Floats, unit: float) -> tuple[_Floats, _Floats]:
    """Unit vectors along which a picture changes least, x and y, (S, S) each."""
    light = np.log(rgb @ LUMA + _DARK)
    across, down = cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1)
    sigma = _AROUND * unit
    near = [blurred(one, sigma) for one in (across * across, across * down, down * down)]
    xx, xy, yy = (0.7 * one + 0.3 * blurred(one, 3 * sigma) for one in near)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.float32(np.pi / 2)
    return np.cos(angle), np.sin(angle)


def _noise(side: int, unit: float) -> _Floats:
    chance = np.random.default_rng(0)
    total = np.zeros((side, side), np.float32)
    for width, strength in _WIDTHS:
        cells = max(8, int(side / max(1.0, width * unit)))
        cell = chance.standard_normal((cells, cells)).astype(np.float32)
        total += strength * cv2.resize(cell, (side, side), interpolation=cv2.INTER_CUBIC)
    return total


def _at(values: _Floats, place: tuple[_Floats, _Floats], interpolation: int) -> _Floats:
    x, y = place
    return np.asarray(cv2.remap(values, x, y, interpolation, borderMode=cv2.BORDER_REFLECT), dtype=np.float32)
