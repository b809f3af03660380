"""Where an edit may act: the parts that a parser finds in the photo and in the edited crop steer the blend.

An edit of hair acts on hair, and on what becomes hair or was; nothing acts on the background but what a hat covers or a
bald head uncovers; skin keeps its own colour.

Maps are (C, side, side) floats in [0, 1] that sum to 1 over the C classes of the parser.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lc.attributes import Colour
from lc.faces.align import Aligned, warp

__all__ = ["MARGIN", "Maps", "Steering", "wide_crop"]

_Floats: TypeAlias = npt.NDArray[np.float32]

#: (C, side, side), a parser's probabilities in parts of 255.
Maps: TypeAlias = npt.NDArray[np.uint8]

#: How far around the crop, on every side, the photo is parsed and edited, in parts of the crop's side.
MARGIN = 0.25

_BACKGROUND, _SKIN = "background", "skin"

#: Classes that are put on and taken off: no tone of what was there shines through them.
WORN = ("glasses", "hat")


def wide_crop(rgb: Image.Image, aligned: Aligned, size: int) -> Image.Image:
    """The photo under the crop and `MARGIN` around it.

    Args:
        rgb, aligned: the photo and its face.
        size: pixels that the crop itself is to have; 1 + 2 * `MARGIN` times as many come back.
    """
    margin = round(MARGIN * size)
    wide = aligned.matrix.copy()
    wide[:, :2] *= aligned.crop.width / size
    wide[:, 2] -= margin * wide[:, :2].sum(1)
    return warp(rgb, wide, size + 2 * margin)


@dataclass(frozen=True, eq=False)
class Steering:
    """What steers the blend of one edit.

    Attributes:
        classes: the parser's, in the order of the maps.
        before: maps of the photo's `wide_crop`.
        after: maps of the edited crop.
        acts_on: the classes that the edit may change or make.
        recolours: the class whose colour the edit changes and nothing else of it, where there is one.
        colour: what it is to become, where that is known.
        shades: the class that the edit lays over the face and that only darkens it; None: there is none.
        laid: what is laid onto the photo's `wide_crop`, lowest first, (W, W, 4) of any W: RGB of 0..255, and what part
            of the photo it covers.
        alone: whether what is laid on or over is all of the edit.
    """

    classes: Sequence[str]
    before: Maps
    after: Maps
    acts_on: Collection[str]
    recolours: str | None = None
    colour: Colour | None = None
    shades: str | None = None
    laid: tuple[npt.NDArray[np.float32], ...] = ()
    alone: bool = False

    def found(self, side: int, reach: int) -> Parts:
        """The maps on a square of `side` crop pixels and `reach` more around it."""
        whole = side + 2 * reach
        margin = round(MARGIN * side)
        wide = [_resized(_unit(one), side + 2 * margin) for one in self.before]
        inner = margin - reach
        before = [one[inner : inner + whole, inner : inner + whole] for one in wide]
        after = [_resized(_unit(one), side) for one in self.after]
        names = list(self.classes)
        return Parts(
            dict(zip(names, before, strict=True)),
            {name: _continued(one, reach) for name, one in zip(names, after, strict=True)},
        )


@dataclass(frozen=True, eq=False)
class Parts:
    """Maps by class, of the photo and of the edit; beyond the crop, the edit's go on as on its border."""

    before: dict[str, _Floats]
    after: dict[str, _Floats]

    def allowed(self, acts_on: Collection[str]) -> _Floats:
        """Where an edit may act, (side, side) in [0, 1]: on what is or becomes one of the classes."""
        was, becomes = (
            sum((one[name] for name in one if name in acts_on), np.zeros_like(self.background))
            for one in (self.before, self.after)
        )
        return np.maximum(was, becomes).clip(0, 1)

    def kept(self, name: str) -> _Floats:
        """Where a class was and stays."""
        return np.asarray(np.minimum(self.before[name], self.after[name]))

    def exchanged(self, names: Collection[str]) -> _Floats:
        """Where one of these classes comes or goes, (side, side) in [0, 1]."""
        changes = [np.abs(self.before[name] - self.after[name]) for name in names if name in self.before]
        empty = np.zeros_like(self.background)
        return np.asarray(np.max([empty, *changes], axis=0), dtype=np.float32)

    @property
    def skin(self) -> _Floats:
        """Where skin is and stays skin."""
        return self.kept(_SKIN)

    @property
    def uncovered(self) -> _Floats:
        """Where the edit shows background that something stood before."""
        return np.asarray(np.minimum(1 - self.before[_BACKGROUND], self.after[_BACKGROUND]))

    @property
    def background(self) -> _Floats:
        """Where the photo shows background."""
        return self.before[_BACKGROUND]


def _unit(levels: npt.NDArray[np.uint8]) -> _Floats:
    return np.asarray(levels, dtype=np.float32) / np.float32(255)


def _resized(values: _Floats, side: int) -> _Floats:
    if values.shape[0] == side:
        return values
    flags = cv2.INTER_AREA if side < values.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, (side, side), interpolation=flags))


def _continued(values: _Floats, reach: int) -> _Floats:
    return np.asarray(np.pad(values, reach, mode="edge"), dtype=np.float32)
