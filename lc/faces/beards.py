"""Beards drawn onto a photo: hair by hair, in the tone of the person's own, along a jaw and about a mouth.

A generator of few pixels draws a beard as a dark haze. Here single hairs grow out of a darker skin, more of them where
beards are thick, so that the edge of a beard is thin and not soft.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from lc.faces.align import FRAME_BOX, TEMPLATE
from lc.faces.composites import Face, Floats
from lc.faces.fill import filled
from lc.faces.frames import over, pose_of
from lc.faces.heads import Head, between, face_of, head_of
from lc.faces.masks import Mask, box_of, grown, largest, smooth_step, soft
from lc.faces.tone import to_lab, to_rgb

__all__ = ["STUBBLE", "STYLES", "Style", "beard"]

_Values: TypeAlias = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Style:
    """One form of beard.

    Attributes:
        cheeks, moustache, chin: how thick it is there, in [0, 1].
        hairs: how many there are, see `_HAIRS`.
        length: of a hair, in parts of the way from the eyes to the mouth.
        shade: how dark the skin under them is, of the hairs' own colour.
    """

    cheeks: float
    moustache: float
    chin: float
    hairs: float
    length: float
    shade: float


STYLES: tuple[Style, ...] = (
    Style(cheeks=1.0, moustache=0.85, chin=0.95, hairs=0.85, length=0.055, shade=0.36),
    Style(cheeks=1.0, moustache=0.95, chin=1.0, hairs=1.2, length=0.12, shade=0.42),
    Style(cheeks=0.0, moustache=0.95, chin=1.0, hairs=1.0, length=0.09, shade=0.4),
)

#: A shadow of a beard, as shaved men have one.
STUBBLE = Style(cheeks=0.9, moustache=0.8, chin=0.88, hairs=0.75, length=0.035, shade=0.34)

_FINE = 4  # times as many pixels as the photo's crop that is laid onto
_MOUTH = ((TEMPLATE[3] + TEMPLATE[4]) / 2 - FRAME_BOX[:2]) / (FRAME_BOX[2] - FRAME_BOX[0])  # in parts of the crop
_NEAR = 0.2  # parts of the crop's side: a mouth is looked for so far from there
_LEAST = 12  # pixels of a mouth from which on it is where it seems to be
_TURNED = 0.5  # sine of the furthest turn that is drawn

# Lengths are units: from the eyes to the mouth. Places are down from the mouth's middle, and aside from there.
_NOSE = -0.26  # where a moustache begins
_FALLS, _GROOVE = 0.12, 0.03  # how much lower it begins at its ends, and under the nose
_OVER = 0.02  # how far it hangs over the upper lip
_CORNER = 1.15  # half its width, in half widths of the mouth
_RING = 0.08  # how wide a beard is beside the mouth's corners
_UNDER_LIP = 0.17  # where a chin's beard begins, under the lip
_CHEEK, _EAR = (-0.02, -0.5), 0.9  # where a cheek's begins, next to the mouth and at the ear, and how far aside that is
_CHIN, _CHIN_LIP = 0.64, 0.5  # how far down chins are, at least, and under the lip
_JAW_WIDE, _SQUARE, _JAW = 0.95, 2.3, 0.06  # of a head's half width; power of its outline; how far beyond it beards go
_LEVEL, _REACH = 0.12, 85  # how near to a mouth's height a face's width is seen, and per cent of the rows there
_WIDER, _NECK = 1.25, 1.42  # times as wide as its head a face is at most; so many times is a neck
_TURN = 2.5  # power of how far down it is, by which the outline nears the face's middle line
_SPARSE = 0.16  # over how much more it gets thicker down a cheek
_BOX = (0.75, 1.15, 1.4)  # what is drawn in: above, below and beside

_HAIRS = 10_000.0  # to a square unit
_SHADES = (-16.0, -8.0, 0.0, 7.0, 15.0)  # of hairs, grey levels from their colour
_THIN = 0.8  # how much of a pixel a hair covers
_DARKEST, _LIGHTEST = 14.0, 62.0  # L* of hairs
_UNDER = 20.0  # L* by which they are darker than skin, at least
_CHROMA, _WARM = 0.8, 0.4  # of that of hair, what a beard's is, and of that of skin, which shines through, at least
_LIT = (0.45, 1.35)  # light of a face, of what it is in the middle


def beard(onto: Face, style: int | Style = 0) -> Floats | None:
    """A beard for a person; None where no mouth is seen, or where the head is turned away.

    Args:
        onto: the photo's face.
        style: a form, or which of `STYLES`; they go round.

    Returns:
        (S, S, 4), finer than the face by a whole factor: what is laid on, RGB of 0..255, and how much of it covers the
        picture, in [0, 1].
    """
    face, side = face_of(onto), _FINE * len(onto.rgb)
    place = _place(onto, face)
    if place is None:
        return None
    form = style if isinstance(style, Style) else STYLES[style % len(STYLES)]
    grows = _density(onto, form, place, head_of(onto, face))
    colour = place.of(_light(onto))[..., None] * _tone(onto)
    under = form.shade * soft(grows, 0.02 * place.unit)[..., None]
    laid = np.concatenate([under * colour, under], 2).astype(np.float32)
    for shade, hairs in zip(_SHADES, _hairs(form, grows, place), strict=True):
        drawn = np.zeros(grows.shape, np.uint8)
        cv2.polylines(drawn, hairs, False, 255, 1, cv2.LINE_AA, shift=4)
        over(laid, (colour + shade).clip(0, 255), np.asarray(drawn * np.float32(_THIN / 255)))
    whole = np.zeros((side, side, 4), np.float32)
    whole[place.rows, place.columns] = np.concatenate(
        [(laid[..., :3] / (laid[..., 3:] + 1e-6)).clip(0, 255), laid[..., 3:]], 2
    )
    return whole


@dataclass(frozen=True)
class _Place:
    """Where a mouth is, in a picture of `side` pixels.

    Attributes:
        x, y: its middle, in pixels.
        unit: pixels from the eyes to it.
        half: half its width; `top` and `bottom`, the ends of its lips: units.
        middle: of the eyes, in pixels along the picture.
        down: where a chin is from there, of length 1.
        side, rows, columns: of the picture, and what of it holds a beard.
    """

    x: float
    y: float
    unit: float
    half: float
    top: float
    bottom: float
    middle: float
    down: tuple[float, float]
    side: int
    rows: slice
    columns: slice

    def of(self, values: Floats) -> Floats:
        """What of a whole picture of any size holds a beard, at this resolution."""
        scale = len(values) / self.side
        matrix = np.array([[scale, 0, scale * self.columns.start], [0, scale, scale * self.rows.start]], np.float32)
        matrix[:, 2] += scale / 2 - 0.5
        size = (self.columns.stop - self.columns.start, self.rows.stop - self.rows.start)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(values, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))

    def units(self, row: _Values, column: _Values) -> tuple[Floats, Floats]:
        """Pixels of that part -> how far aside and down from the mouth's middle they are, in units."""
        x, y = column + self.columns.start + 0.5 - self.x, row + self.rows.start + 0.5 - self.y
        across, along = self.down
        aside, below = x * along - y * across, x * across + y * along
        return np.asarray(aside / self.unit, np.float32), np.asarray(below / self.unit, np.float32)


def _place(onto: Face, face: Mask) -> _Place | None:
    """Where a beard is to go; None where it cannot be told."""
    pose, side, edge = pose_of(onto), len(face), (1 - onto.inner) / 2
    down, along = (np.mgrid[:side, :side] + 0.5) / side
    away = np.hypot(along - edge - onto.inner * _MOUTH[0], down - edge - onto.inner * _MOUTH[1])
    mouth = largest(onto.sure("mouth") & face & (away < _NEAR * onto.inner))
    if mouth.sum() < _LEAST or abs(pose.turn) > _TURNED:
        return None
    rows, columns = box_of(mouth)
    x, y = (_FINE * (ends.start + ends.stop) / 2 for ends in (columns, rows))
    side *= _FINE
    way = np.array([x - pose.x * side, y - pose.y * side])
    unit = float(np.hypot(*way))
    # Between the face's middle line and the head's roll: a mouth may be drawn aside.
    way = way / unit + (-np.sin(pose.roll), np.cos(pose.roll))
    way /= np.hypot(*way)
    half, tall = (_FINE * (ends.stop - ends.start) / 2 / unit for ends in (columns, rows))

    def part(middle: float, before: float, after: float) -> slice:
        first, last = round(middle - before * unit), round(middle + after * unit)
        return slice(max(0, first), max(0, min(last, side)))

    box = part(y, _BOX[0], _BOX[1]), part(x, _BOX[2], _BOX[2])
    return _Place(x, y, unit, half, -tall, tall, pose.x * side, (float(way[0]), float(way[1])), side, *box)


def _density(onto: Face, form: Style, place: _Place, head: Head) -> Floats:
    """How thick a beard is in each place, in [0, 1]."""
    rows, columns = place.rows.stop - place.rows.start, place.columns.stop - place.columns.start
    aside, below = place.units(*np.mgrid[:rows, :columns].astype(np.float32))
    wide, half, corner = np.abs(aside), place.half, _CORNER * place.half
    # Over the upper lip, lower towards its ends.
    begins = _NOSE + _FALLS * (wide / corner) ** 2 + _GROOVE * np.exp(-np.square(wide / 0.05))
    ends = place.top + _OVER + (place.bottom - place.top) * smooth_step(wide, 0.75 * half, corner)
    moustache = smooth_step(below - begins, -0.03, 0.07) * smooth_step(ends - below, -0.02, 0.03)
    moustache *= form.moustache * (1 - smooth_step(wide, corner - 0.02, corner + 0.1))
    # Under the mouth, beside its corners, and up the cheeks.
    up = smooth_step(wide, half + _RING, _EAR)
    cheek = _CHEEK[0] + up * (_CHEEK[1] - _CHEEK[0]) - 0.08 * np.sin(np.pi * up)
    lip = place.bottom + _UNDER_LIP - 0.06 * np.exp(-np.square(wide / 0.06))
    starts = lip + smooth_step(wide, half - 0.04, half + 0.06) * (cheek - lip)
    low = smooth_step((below - starts + 0.04) / (0.14 + _SPARSE * smooth_step(wide, half, half + 0.2)), 0, 1)
    patch = smooth_step(below - place.bottom, 0.03, 0.07) * (1 - smooth_step(wide, 0.03, 0.08))
    grows = np.maximum(form.chin * np.maximum(low, 0.85 * patch), moustache)
    grows *= 1 - (1 - form.cheeks) * smooth_step(wide, half + 0.06, half + 0.2)
    skin, lips = place.of(onto.maps["skin"]), place.of(onto.maps["mouth"])
    grows *= _inside(place, head, aside, below, skin)
    grows *= smooth_step(skin + 0.6 * lips, 0.45, 0.85) * (1 - smooth_step(lips, 0.25, 0.6))
    return np.asarray(grows, dtype=np.float32)


def _inside(place: _Place, head: Head, aside: Floats, below: Floats, face: Floats) -> Floats:
    """How far inside of the jaw's outline, in [0, 1]: half an ellipse from ear to ear, as wide as the `face` is."""
    chin = max((head.chin * _FINE - place.y) / place.unit, _CHIN, place.bottom + _CHIN_LIP)
    high = (below + 1).clip(0) / (1 + chin)
    turned = (head.x * _FINE - place.middle) / place.unit  # eyes lie before a head's axis, and the chin with them
    axis = aside - turned * (1 - high**_TURN)
    wide = head.width * _FINE / place.unit * _JAW_WIDE
    cheeks = (face > 0.5) & (np.abs(below) < _LEVEL)
    reach = np.where(cheeks, axis / (1 - high**_SQUARE).clip(1e-3) ** (1 / _SQUARE), 0)[cheeks.any(1)]
    sides = []
    for sign in (-1, 1):  # a turned head shows more of one cheek
        seen = float(np.percentile((sign * reach).max(1), _REACH)) if reach.size else 0.0
        sides.append(between(seen, wide, _WIDER * wide) if seen < _NECK * wide else wide)
    radius = (np.abs(axis / np.where(axis < 0, *sides)) ** _SQUARE + high**_SQUARE) ** (1 / _SQUARE)
    return smooth_step(1 - radius, -_JAW, 0.0)


def _tone(onto: Face) -> Floats:
    """RGB of the hairs, (3,): of the darker of hair and brows."""
    lab = to_lab(onto.rgb)
    skin = np.median(lab[onto.sure("skin")], 0)
    found = [skin * (0.5, 0.6, 0.6)]
    for name, sure in (("hair", 0.9), ("brows", 0.6)):
        values = lab[onto.maps[name] > sure]
        if len(values) >= 20:
            found.append(np.median(values[values[:, 0] <= np.percentile(values[:, 0], 60)], 0))
    hair = min(found[1:] or found, key=lambda one: float(one[0]))
    light = between(float(hair[0]), _DARKEST, max(_DARKEST, min(_LIGHTEST, float(skin[0]) - _UNDER)))
    tone = np.array([light, *np.maximum(_CHROMA * hair[1:], _WARM * skin[1:])], np.float32)
    return to_rgb(tone[None, None])[0, 0]


def _light(onto: Face) -> Floats:
    """The light on a face, of what it is in the middle, (S, S)."""
    light = to_lab(onto.rgb)[..., :1]
    skin = onto.sure("skin") & ~grown(onto.sure("mouth", "eyes", "brows", "hair"), 3)
    if not skin.any():
        return np.ones(skin.shape, np.float32)
    whole = soft(filled(np.repeat(light, 3, 2), skin)[..., 0], 3.0)
    return np.asarray((whole / np.median(light[skin])).clip(*_LIT), dtype=np.float32)


def _hairs(form: Style, grows: Floats, place: _Place) -> list[list[npt.NDArray[np.int32]]]:
    """Single hairs, by shade: each (4, 2), points in sixteenths of a pixel; the same for the same beard."""
    chance, dense = np.random.default_rng(0), (grows**1.3).ravel().astype(np.float64)
    count = round(form.hairs * _HAIRS * dense.sum() / place.unit**2)
    if not count:
        return [[] for _ in _SHADES]
    roots = chance.choice(dense.size, count, p=dense / dense.sum())
    row, column = (one + chance.random(count) - 0.5 for one in np.divmod(roots, grows.shape[1]))
    aside, below = place.units(row, column)
    # Those of a moustache lie outwards, those of cheeks along the jaw, those of a chin down.
    above, sign = below < 0.02, np.sign(aside)
    out = np.where(np.abs(aside) > 0.45, -0.25 * sign, 0.35 * aside)
    out = np.where(above, 0.9 * sign * smooth_step(np.abs(aside), 0.0, 0.12), out)
    angle = np.arctan(out) + chance.normal(0, 0.22, count)
    bend = chance.normal(0, 0.35, count) + 0.3 * sign * above
    length = form.length * place.unit * chance.uniform(0.5, 1.2, count) * np.where(above, 0.75, 1.0)
    length *= 0.5 + 0.5 * grows.ravel()[roots]
    turns = angle[:, None] + bend[:, None] * np.arange(1, 4) / 3
    across, along = place.down
    ways = np.stack([np.sin(turns) * along + np.cos(turns) * across, np.cos(turns) * along - np.sin(turns) * across], 2)
    steps = np.concatenate([np.stack([column, row], 1)[:, None], ways * (length / 3)[:, None, None]], 1)
    points = np.rint(steps.cumsum(1) * 16).astype(np.int32)
    shades = chance.integers(0, len(_SHADES), count)
    return [list(points[shades == shade]) for shade in range(len(_SHADES))]
