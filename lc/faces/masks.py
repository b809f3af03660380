"""Masks, (S, S), of bool or of [0, 1]: made wider, narrower, softer."""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Mask", "box_of", "broad", "grown", "largest", "shrunk", "smooth_step", "soft"]

_Floats: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]


def smooth_step(values: npt.NDArray[np.floating[Any]], low: float, high: float) -> _Floats:
    """A smooth step from 0 at `low` to 1 at `high`."""
    part = ((values - low) / (high - low)).clip(0, 1)
    return np.asarray(part * part * (3 - 2 * part), dtype=np.float32)


def soft(mask: Mask | _Floats, sigma: float) -> _Floats:
    """With an edge as wide as a Gaussian of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma))


def grown(mask: Mask, side: int) -> Mask:
    """Wider by half a square's side, in pixels, which is odd."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)


def shrunk(mask: Mask, side: int) -> Mask:
    """Narrower by half a square's side, in pixels, which is odd."""
    return np.asarray(cv2.erode(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)


def largest(mask: Mask) -> Mask:
    """The largest connected part."""
    count, labels, sizes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return np.asarray(labels == 1 + int(sizes[1:, cv2.CC_STAT_AREA].argmax())) if count > 1 else mask


def broad(mask: Mask, least: float) -> Mask:
    """The connected parts that are not smaller than `least` of the largest."""
    _, labels, sizes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = sizes[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # all else
    return np.asarray((areas >= max(least * areas.max(), 1))[labels])


def box_of(mask: Mask, around: int = 0) -> tuple[slice, slice]:
    """The rows and columns that hold all of a mask, and so many more on each side."""
    down, along = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(down):
        return slice(0, 0), slice(0, 0)
    rows, columns = (slice(max(0, int(one[0]) - around), int(one[-1]) + 1 + around) for one in (down, along))
    return rows, columns
