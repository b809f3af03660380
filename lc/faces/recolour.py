"""Hair of another colour in a photo: the same strands, and some where black hair shows none."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from lc.faces.canvases import Place
from lc.faces.fill import filled
from lc.faces.filters import LUMA, SIDE, blurred, enlarged, fade, guided
from lc.faces.masks import Mask, smooth_step
from lc.faces.matte import matted
from lc.faces.steering import Parts, Steering
from lc.faces.strands import strands
from lc.faces.tone import Transfer, to_lab, transfer

__all__ = ["recolour"]

_Floats: TypeAlias = npt.NDArray[np.float32]

_SURE = (0.4, 0.85)  # probabilities of a part at which a new colour is not laid on, and wholly
_CERTAIN = (0.9, 0.995)  # at which colours are asked as well, and are not
_OWN = (0.03, 0.95)  # below and above which the colours of what is beside it, and its own, are learned
_LEAST = 30  # pixels of which they can be
_ALIKE = 0.75  # of what may be a part, what is most alike is that: a wall may be taken for hair
_UNLIKE = (50.0, 90.0)  # grey levels between two colours at which pixels say nothing, and all, about how they mix
_LIKELY = (0.2, 0.5)  # probabilities between which a pixel is asked otherwise: it is mixed,
_SOME = (0.05, 0.25)  # as far as it is no shade of what is beside the part;
_MOST = (0.5, 0.9)  # or it is no more than a strand, and most of it that
_WHOLE = (0.6, 0.95)  # of a pixel, from which on it is taken for all of the part
_ABOUT = 0.8  # in units, how far about it a parser's edge may lie beside the photo's
_NEAR = (0.8, 2.5)  # in units, how far from a part its strands are looked for
_EDGE = (1.0, 3.0)  # and how far in from its edge that is believed to be beside skin
_WALL = 4.0  # units about a place in which it is looked for what is beside it
_BESIDE = frozenset({"skin", "background"})  # what strands lie over
_DRAWN = (0.1, 0.4)  # probabilities of anything else, brows or glasses, at which no strand is looked for
_STRANDS = 0.65  # of the contrast that hair of a colour has, what strands make of it, where the photo's are too dark
_LIGHTER = 15.0  # L* by which hair is lightened from which on that matters in full


def recolour(place: Place, new: _Floats, old: _Floats, steering: Steering, parts: Parts) -> tuple[Transfer, _Floats]:
    """Another colour for the part of a photo that an edit recolours.

    Args:
        place: where.
        new, old: the edited crop and its reconstruction, (W, W, 3).
        steering, parts: what the edit may act on; it recolours something.

    Returns:
        The colour; and on the canvas, (S, S, 3), where it goes, in [0, 1], the light of strands in L*, and how far that
        part's colour is mixed there with what is beside it, in [0, 1].
    """
    assert steering.recolours is not None
    part = steering.recolours
    inside = parts.kept(part)[place.reach : -place.reach, place.reach : -place.reach]
    moved = transfer(place.seen, new, old, inside, steering.colour)
    told = place.found(steering.before, f"{part} told", lambda: _told(place, parts, part))
    where, mixed = told[..., 0], told[..., 1]
    return moved, np.dstack([where, _strands(place, steering, moved) * (1 - mixed), mixed])


def _told(place: Place, parts: Parts, part: str) -> _Floats:
    """How much of each pixel is of a part, and how far its colour was asked, (S, S, 2) in [0, 1].

    About the edges a pixel is between the part's colour and that of what is beside it, as in Porter and Duff's "over"
    (1984), each carried on from where it is sure. Where those two are too much alike the parser alone is heard.
    """
    # Beyond the crop, where the edit was not decoded, the part is the photo's.
    there = matted(parts.before[part], place.broad)
    where = enlarged(smooth_step(there, *_SURE), place.side).clip(0, 1)
    fine = guided(where[..., None], place.canvas @ LUMA, max(2, round(2.0 * place.side / SIDE)))
    where, within = fine[..., 0].clip(0, 1), fade(place.side, place.around / 2)
    inside, outside = there > _OWN[1], there < _OWN[0]
    if min(inside.sum(), outside.sum()) < _LEAST:
        return np.dstack([where * within, np.zeros_like(where)])
    unlike = np.linalg.norm(place.broad - np.median(place.broad[inside], axis=0), axis=2)
    inside &= unlike <= np.quantile(unlike[inside], _ALIKE)
    own, beside = (enlarged(filled(place.broad, known), place.side) for known in (inside, outside))
    length = np.square(own - beside).sum(2)
    alpha = (((place.smooth - beside) * (own - beside)).sum(2) / np.maximum(length, 1.0)).clip(0, 1)
    likely = enlarged(smooth_step(there, *_LIKELY), place.side).clip(0, 1)
    alpha *= likely * smooth_step(alpha, *_SOME) + (1 - likely) * smooth_step(alpha, *_MOST)
    alpha *= enlarged(1 - smooth_step(_within(there < 0.5) / place.unit, *_NEAR), place.side).clip(0, 1)
    mixed = enlarged(_unsure(place, parts, part, there), place.side).clip(0, 1)
    mixed = mixed * smooth_step(np.sqrt(length), *_UNLIKE)
    return np.dstack([(where + mixed * (alpha - where)) * within, mixed * (1 - smooth_step(alpha, *_WHOLE))])


def _unsure(place: Place, parts: Parts, part: str, there: _Floats) -> _Floats:
    """How far colours are to be asked whether a part is `there`, (W, W) in [0, 1]: not of brows or glasses, and further
    in only of a wall, which may be taken for hair anywhere; what is as light as skin is a highlight of hair there."""
    drawn = np.sum([one for name, one in parts.before.items() if name not in _BESIDE | {part}], axis=0)
    unsure = (1 - smooth_step(blurred(there, _ABOUT * place.unit), *_CERTAIN)) * (1 - smooth_step(drawn, *_DRAWN))
    outside, sigma = (there < _OWN[0]).astype(np.float32), _WALL * place.unit
    wall = blurred(parts.before["background"] * outside, sigma) / (blurred(outside, sigma) + 1e-3)
    further_in = smooth_step(_within(there >= 0.5) / place.unit, *_EDGE)
    return np.asarray(unsure * (1 - further_in * (1 - wall.clip(0, 1))), dtype=np.float32)


def _within(mask: Mask) -> _Floats:
    """How far each place of a mask is from its border, in pixels; 0 outside."""
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3), dtype=np.float32)


def _strands(place: Place, steering: Steering, moved: Transfer) -> _Floats:
    """The light of strands, in L*, (S, S), where a lighter colour would find none of its own to show."""
    wanted = _STRANDS * (steering.colour.contrast if steering.colour else 0.0)
    lighter = float(moved.target[0] - moved.source[0])
    if lighter <= 0 or not wanted:
        return np.zeros((place.side, place.side), np.float32)
    drawn = place.found(steering.before, "strands", lambda: strands(place.canvas, place.fine))
    light = to_lab(place.smooth)[..., 0]
    sigma = 2 * place.fine
    own = moved.gain * np.sqrt(blurred(np.square(light - blurred(light, sigma)), sigma))
    return np.asarray(min(lighter / _LIGHTER, 1.0) * wanted * (1 - own / wanted).clip(0, 1) * drawn, dtype=np.float32)
