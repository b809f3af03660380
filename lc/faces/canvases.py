"""Photos under a face, as `lc.faces.blend` works on them, and where they lie; kept from one edit to the next."""

from __future__ import annotations

import math
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from lc.faces.align import Array, warp

__all__ = ["Canvases", "covered", "sampled", "to_canvas"]

_Bytes: TypeAlias = npt.NDArray[np.uint8]


class Canvases:
    """The canvases used last: all edits of a face in a photo begin with the same one. Safe to share by threads.

    Args:
        most: how many are kept, each of at most 2 MB.
    """

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._known: OrderedDict[tuple[int, ...], tuple[list[weakref.ref[object]], _Bytes]] = OrderedDict()

    def get(self, of: tuple[object, ...], form: tuple[int, ...], make: Callable[[], _Bytes]) -> _Bytes:
        """A canvas of a photo and a face in it, neither of which is ever changed, in a form; made where it is new."""
        key = (*map(id, of), *form)
        with self._lock:
            refs, canvas = self._known.pop(key, ([], None))
        if canvas is None or [ref() for ref in refs] != list(of):
            refs, canvas = [weakref.ref(one) for one in of], make()
        with self._lock:
            self._known[key] = refs, canvas
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return canvas


def sampled(rgb: Image.Image, matrix: Array, width: int, side: int) -> _Bytes:
    """The photo under a square of `width` crop pixels, (side, side, 3)."""
    finer = matrix.copy()
    finer[:, :2] *= width / side
    return np.asarray(warp(rgb, finer, side))


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
