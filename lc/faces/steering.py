"""Where an edit may act: the parts that a parser finds in the photo and in the edited crop steer the blend.

An edit of hair acts on hair, and on what becomes hair or was; nothing acts on the background but what a hat covers or a
bald head uncovers; skin keeps its own colour.

Maps are (C, side, side) floats in [0, 1] that sum to 1 over the C classes of the parser, but past a photo's border,
where there is no background.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lc.colour import Colour
from lc.faces.align import Aligned, warp
from lc.faces.filters import continued
from lc.faces.masks import smooth_step

__all__ = ["MARGIN", "Maps", "Steering", "beyond", "of_crop", "of_face", "share_of", "wide_crop"]

_Floats: TypeAlias = npt.NDArray[np.float32]

#: (C, side, side), a parser's probabilities in parts of 255.
Maps: TypeAlias = npt.NDArray[np.uint8]

#: How far around the crop, on every side, the photo is parsed and edited, in parts of the crop's side.
MARGIN = 0.25

_MIRRORED = 0.08  # of the crop's side, about a photo
_BACKGROUND, _SKIN, _CLOTH, _EYES, _GLASSES, _MOUTH = "background", "skin", "cloth", "eyes", "glasses", "mouth"
_LIPS = 0.03  # of the crop's side, about a mouth that stays as it is
_BEARDED = 0.13  # and about one in a beard that stays
_NOSE, _TIP, _SOFT = (0.085, 0.1), 0.02, 0.25  # half axes of a nose about a place above its tip, and how soon it ends
_VEILED, _FADE = 0.54, 0.07  # where masks begin, below the bridge of the nose, and how soon, in parts of the side

#: Classes that are put on and taken off: no tone of what was there shines through them.
WORN = ("glasses", "hat")


def of_face(acts_on: Collection[str]) -> bool:
    """Whether changes of these parts are of a face alone: nothing is put on or taken off."""
    return _SKIN in acts_on and not any(name in acts_on for name in WORN)


def wide_crop(rgb: Image.Image, aligned: Aligned, size: int) -> Image.Image:
    """The photo under the crop and `MARGIN` around it. Where it ends there, little of its mirror image is shown: heads
    would have other heads beside them, and a parser sees hair between.

    Args:
        rgb, aligned: the photo and its face.
        size: pixels that the crop itself is to have; 1 + 2 * `MARGIN` times as many come back.
    """
    margin = round(MARGIN * size)
    wide = aligned.matrix.copy()
    wide[:, :2] *= aligned.crop.width / size
    wide[:, 2] -= margin * wide[:, :2].sum(1)
    return warp(rgb, wide, size + 2 * margin, mirrored=_MIRRORED * size, oversampling=2)


def beyond(photo: tuple[int, int], aligned: Aligned, size: int) -> npt.NDArray[np.bool_]:
    """Where a `wide_crop` reaches past its photo, (W, W).

    Args:
        photo: its width and height.
        aligned, size: see `wide_crop`.
    """
    margin = round(MARGIN * size)
    places = (np.arange(size + 2 * margin) + 0.5 - margin) * aligned.crop.width / size
    linear, shift = aligned.matrix[:, :2], aligned.matrix[:, 2]
    x, y = (linear[axis, 0] * places[None] + linear[axis, 1] * places[:, None] + shift[axis] for axis in range(2))
    return np.asarray((x < 0) | (y < 0) | (x > photo[0]) | (y > photo[1]))


def share_of(maps: Maps | None, column: int) -> float:
    """The share of a crop that shows a class; 0 without maps. `maps` are of the wide crop."""
    if maps is None:
        return 0.0
    return float((of_crop(maps)[column] > 127).mean())


def of_crop(maps: Maps) -> Maps:
    """What of a wide crop's maps is of the crop."""
    edge = round(maps.shape[-1] * MARGIN / (1 + 2 * MARGIN))
    return maps[:, edge : maps.shape[-1] - edge, edge : maps.shape[-1] - edge]


@dataclass(frozen=True, eq=False)
class Steering:
    """What steers the blend of one edit.

    Attributes:
        classes: the parser's, in the order of the maps.
        before: maps of the photo's `wide_crop`.
        after: maps of the edited crop.
        without: maps of the reconstruction, so that what the generator misplaces anyhow is no part of the edit; None:
            it misplaces nothing.
        begins: how far down the crop it begins to change a face, in parts of its side.
        nose: where it is in the crop, x and y in parts of its side, where the edit leaves it as it is.
        creases: how much deeper the edit makes the lines of the skin, see `lc.faces.creases`.
        veiled: whether something is before the mouth. From the nose down changes of a face leave it alone, then.
        own_mouth: whether the mouth stays what it is, and takes on other colours only.
        own_structure: whether all of the face does.
        bearded: whether there is a beard about the mouth, which stays with it.
        acts_on: the classes that the edit may change or make.
        recolours: the class whose colour the edit changes and nothing else of it, where there is one.
        colour: what it is to become, where that is known.
        shades: the class that the edit lays over the face and that only darkens it; None: there is none.
        laid: what is laid onto the photo's `wide_crop`, lowest first, (W, W, 4) of any W: RGB of 0..255, and what part
            of the photo it covers; or (W, W, 7), with what is added to the photo's colours besides.
        alone: whether what is laid on or over, or has another colour, is all of the edit.
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
    without: Maps | None = None
    begins: float = 0.0
    nose: tuple[float, float] | None = None
    creases: float = 0.0
    veiled: bool = False
    own_mouth: bool = False
    own_structure: bool = False
    bearded: bool = False

    def found(self, side: int, reach: int) -> Parts:
        """The maps on a square of `side` crop pixels and `reach` more around it."""
        whole = side + 2 * reach
        margin = round(MARGIN * side)
        wide = [_resized(_unit(one), side + 2 * margin) for one in self.before]
        inner = margin - reach
        before = [one[inner : inner + whole, inner : inner + whole] for one in wide]

        def beyond_crop(maps: Maps) -> dict[str, _Floats]:
            found = [continued(_resized(_unit(one), side), reach) for one in maps]
            return dict(zip(self.classes, found, strict=True))

        without = {} if self.without is None else beyond_crop(self.without)
        parts = dict(zip(self.classes, before, strict=True))
        own = np.zeros_like(parts[_SKIN])
        if self.own_mouth and _MOUTH in parts:
            own = _widened(parts[_MOUTH], (_BEARDED if self.bearded else _LIPS) * side)
        return Parts(parts, beyond_crop(self.after), without, self._free(side, reach), own)

    def _free(self, side: int, reach: int) -> _Floats:
        """How free a change of a face is to act in each place of the square, (side + 2 reach, side + 2 reach)."""
        along = (np.arange(side + 2 * reach, dtype=np.float32)[None] + 0.5 - reach) / side
        down = along.T
        free = np.ones((len(down),) * 2, np.float32)
        if self.nose is not None:
            x, y = self.nose
            away = np.hypot((along - x) / _NOSE[0], (down - y + _TIP) / _NOSE[1])
            free = free * smooth_step(away, 1 - _SOFT, 1 + _SOFT)
        if self.begins:
            free = free * smooth_step(down, self.begins, self.begins + _FADE)
        if self.veiled:
            free = free * (1 - smooth_step(down, _VEILED, _VEILED + _FADE))
        return np.asarray(free, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Parts:
    """Maps by class, of the photo, of the edit and, where there are any, of the reconstruction; beyond the crop, those
    two go on as on its border. And where changes of a face are `free` to act, and where the photo's `own`
    matter stays, (side, side) in [0, 1]."""

    before: dict[str, _Floats]
    after: dict[str, _Floats]
    without: dict[str, _Floats]
    free: _Floats
    own: _Floats

    def allowed(self, acts_on: Collection[str]) -> _Floats:
        """Where an edit may act, (side, side) in [0, 1]: on what is or becomes one of the classes.

        Changes of a face alone leave the head its outline, and what is before the face.
        """
        was, becomes, anyhow = (
            sum((one[name] for name in one if name in acts_on), np.zeros_like(self.background))
            for one in (self.before, self.after, self.without)
        )
        lost, becomes = (anyhow - becomes).clip(0, 1), (becomes - anyhow).clip(0, 1)
        if of_face(acts_on):
            becomes = becomes * (1 - self.background) * (1 - self.before.get(_CLOTH, np.float32(0)))
            return np.asarray(self.free * np.maximum(was * (1 - np.maximum(self.uncovered, lost)), becomes).clip(0, 1))
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
    def seen_through(self) -> _Floats:
        """The photo's own eyes, where they are seen through glasses that are taken off; zeros where none are."""
        worn = [one.get(_GLASSES, np.float32(0)) for one in (self.before, self.after)]
        if _EYES not in self.before or np.sum(worn[0]) <= 2 * np.sum(worn[1]) or np.max(worn[0]) < 0.5:
            return np.zeros_like(self.background)
        return self.before[_EYES]

    @property
    def skin(self) -> _Floats:
        """Where skin is and stays skin."""
        return self.kept(_SKIN)

    @property
    def uncovered(self) -> _Floats:
        """Where the edit shows background that something stood before."""
        anyhow = self.without.get(_BACKGROUND, np.float32(0))
        return np.asarray(np.minimum(1 - self.before[_BACKGROUND], (self.after[_BACKGROUND] - anyhow).clip(0, 1)))

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


def _widened(mask: _Floats, reach: float) -> _Floats:
    """A mask in [0, 1], made sure of and so many pixels wider, with soft edges."""
    size = 2 * max(1, round(reach)) + 1
    wide = cv2.dilate(smooth_step(mask, 0.3, 0.7), np.ones((size, size), np.uint8))
    return np.asarray(cv2.GaussianBlur(wide, (0, 0), reach / 2), dtype=np.float32)
