"""Photos under a face, as `lc.faces.blend` works on them, and where they lie."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lc.faces.align import Array, warp
from lc.faces.filters import SIDE, blurred, softness
from lc.faces.steering import Maps
from lc.memory import Kept

__all__ = ["Place", "covered", "sampled", "to_canvas"]

_Floats: TypeAlias = npt.NDArray[np.float32]
_Bytes: TypeAlias = npt.NDArray[np.uint8]

# Of the photos used last, what was found out at the edit's own resolution: as a rule up to 1 MB each.
_FOUND: Kept[_Floats] = Kept(24)
_SOFTNESS: Kept[float] = Kept(64)


@dataclass(frozen=True, eq=False)
class Place:
    """Where an edit is put.

    Attributes:
        photo: what tells it from every other: the picture, and the face in it.
        canvas: (S, S, 3), the photo under the crop and `reach` of the edit's pixels around it.
        broad: (W, W, 3), the same at the edit's own resolution.
        smooth: (S, S, 3), the canvas without its grain.
        width, reach: of the edit's pixels; W = width + 2 * reach.
    """

    photo: tuple[object, ...]
    canvas: _Floats
    broad: _Floats
    smooth: _Floats
    width: int
    reach: int

    @classmethod
    def of(cls, photo: tuple[object, ...], canvas: _Floats, width: int, reach: int) -> Place:
        side, whole = canvas.shape[0], width + 2 * reach
        broad = np.asarray(cv2.resize(canvas, (whole, whole), interpolation=cv2.INTER_AREA), dtype=np.float32)
        smooth = blurred(canvas, min(max(0.8, 0.35 * width / SIDE * side / whole), 2.0))
        return cls(photo, canvas, broad, smooth, width, reach)

    def found(self, maps: Maps, name: str, make: Callable[[], _Floats]) -> _Floats:
        """What the photo alone and its `maps` lead to, whatever the edit is; made once for all edits at this size."""
        return _FOUND.get((*self.photo, maps), (name, self.side, self.width, self.reach), make)

    @property
    def side(self) -> int:
        """S."""
        return self.canvas.shape[0]

    @property
    def unit(self) -> float:
        """Pixels of the edit to one of the crops that lengths were set by."""
        return self.width / SIDE

    @property
    def around(self) -> float:
        """`reach`, as a part of the canvas's side."""
        return self.reach / (self.width + 2 * self.reach)

    @property
    def fine(self) -> float:
        """Pixels of the canvas to one of those."""
        return self.unit * self.side / (self.width + 2 * self.reach)

    @property
    def softness(self) -> float:
        """How far the photo is out of focus, in pixels of the canvas; found once for all edits of this face."""
        return _SOFTNESS.get(self.photo, (self.side, self.width, self.reach), lambda: softness(self.canvas))

    @property
    def seen(self) -> _Floats:
        """(width, width, 3), the photo under the crop, at the edit's resolution."""
        return self.broad[self.reach : -self.reach, self.reach : -self.reach]


def sampled(rgb: Image.Image, matrix: Array, width: int, side: int) -> _Bytes:
    """The photo under a square of `width` crop pixels, (side, side, 3)."""
    finer = matrix.copy()
    finer[:, :2] *= width / side
    return np.asarray(warp(rgb, finer, side, quick=True))


def to_canvas(matrix: Array, zoom: float, box: tuple[int, int, int, int]) -> Array:
    """(2, 3), from a pixel's index in a part of the photo to the index of the canvas pixel there."""
    linear = np.linalg.inv(matrix[:, :2]) * zoom
    return np.column_stack([linear, linear @ (np.array(box[:2]) + 0.5 - matrix[:, 2]) - 0.5])


def covered(matrix: Array, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The photo's part that holds the turned square: left, top, right, bottom; empty if they do not meet."""
    corners = matrix @ np.array([[0, width, 0, width], [0, 0, width, width], [1, 1, 1, 1]])  # (2, 4)
    left, top = (max(0, math.floor(value)) for value in corners.min(1))
    right, bottom = (min(end, math.ceil(value)) for end, value in zip(size, corners.max(1), strict=True))
    return left, top, right, bottom
