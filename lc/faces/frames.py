"""Glasses drawn onto a photo: frames over both eyes, in the head's pose and the photo's light.

A frame is a few curves in space, in units of the distance between the eyes, which a turn about the head's axis
projects; so it is crisp at any resolution, where a generator of few pixels only darkens what it covers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from lc.faces.align import FRAME_BOX, TEMPLATE
from lc.faces.composites import Face, Floats
from lc.faces.masks import smooth_step, soft

__all__ = ["STYLES", "Style", "frames", "over", "photo_light", "pose_of", "turn_by_skin"]


@dataclass(frozen=True)
class Style:
    """One form of glasses; lengths are parts of the distance between the eyes.

    Attributes:
        width, height: half of a lens.
        power: of the lens's superellipse: 2 is round, 4 a box.
        taper: how much narrower a lens is at its foot.
        lift: how much higher its outer end is.
        rims: how thick the rim is at the top, at the sides, at the bottom.
        colour: RGB of 0..255, in full light.
        mottled: how much the colour varies, as horn does.
        lens: how much of the light the lens keeps, at its top and at its bottom.
    """

    width: float
    height: float
    power: float
    taper: float
    lift: float
    rims: tuple[float, float, float]
    colour: tuple[int, int, int]
    mottled: float = 0.0
    lens: tuple[float, float] = (0.03, 0.03)


STYLES: tuple[Style, ...] = (
    Style(0.39, 0.262, 3.0, 0.11, 0.06, (0.095, 0.07, 0.055), (30, 28, 30)),
    Style(0.375, 0.345, 2.1, 0.02, 0.0, (0.04, 0.035, 0.035), (74, 66, 58)),
    Style(0.395, 0.31, 2.6, 0.08, 0.04, (0.085, 0.065, 0.055), (92, 56, 34), mottled=0.45),
    Style(0.435, 0.345, 2.6, 0.14, 0.05, (0.085, 0.07, 0.06), (26, 24, 26), lens=(0.93, 0.8)),
    Style(0.42, 0.235, 3.6, 0.04, 0.02, (0.06, 0.05, 0.045), (40, 42, 56)),
)

_FINE = 4  # times as many pixels as the crop that is laid onto, at most
_FINER = 1.5  # times as many as the photo, at least, or edges look cut
_APART = float(TEMPLATE[1, 0] - TEMPLATE[0, 0]) / (FRAME_BOX[2] - FRAME_BOX[0])  # of eyes, in parts of the crop's side
_EYES = (TEMPLATE[:2] - FRAME_BOX[:2]) / (FRAME_BOX[2] - FRAME_BOX[0])
_NEAR = 0.07  # parts of the crop's side: an eye is looked for so far from there
_TURNED = 0.55  # sine of the furthest turn that is drawn
_BRIDGED = 0.3  # of the columns between the eyes that show glasses, where some are worn
_FEW = 6.0  # pixels of an eye, of which half is believed where it is
_BEFORE = 0.95  # how far eyes lie before a head's axis, in parts of the distance between them
_AROUND = (1.7, 0.8)  # how far glasses reach to the sides, and up and down, in the same parts

# In space: x to the right, y down, z towards the viewer, from the middle between the eyes.
_LENS = (0.525, 0.07)
_FRONT, _WRAP = 0.2, 0.14  # how far before the eyes the frame is, and how much less at its ends
_HINGE, _EAR = (1.03, -0.13), (1.16, -0.06, -1.2)

_SHADOW, _CAST = 0.2, 0.07  # how dark a shadow the frame throws on skin, and how far down
_GLOSS, _DULL = 70.0, 25.0  # grey levels by which edges are lighter that look up, and darker that look down
_SKY = (0.1, 0.05)  # of it that is seen in clear lenses, and in dark ones
_SKY_COLOUR, _GLASS_COLOUR = np.array([235, 240, 245], np.float32), np.array([22, 22, 26], np.float32)
_MEAN = np.full((1, 3), 1 / 3, np.float32)  # of a pixel's channels
_BRIGHT = 215.0  # grey levels of what is light in a photo of full light


def frames(onto: Face, style: int = 0) -> Floats | None:
    """Glasses for a person; None where some are worn, or where the head is turned away.

    Args:
        onto: the photo's face.
        style: which of `STYLES`; they go round.

    Returns:
        (S, S, 4), finer than the face by a whole factor: what is laid on, RGB of 0..255, and how much of it covers the
        picture, in [0, 1].
    """
    pose = pose_of(onto)
    if abs(pose.turn) > _TURNED or _worn(onto, pose):
        return None
    form, fine = STYLES[style % len(STYLES)], math.ceil(min(_FINER * onto.detail, _FINE))
    side = fine * onto.rgb.shape[0]
    view = _view(pose, side)
    maps = {name: view.of(onto.maps[name]) for name in ("hair", "hat", "skin", "background")}
    covered = maps["hair"] + maps["hat"]
    lenses = [_lens(form, sign) for sign in (-1, 1)]
    lens = view.filled(lenses)
    frame = view.filled([_lens(form, sign, form.rims) for sign in (-1, 1)] + _bars(form)) * (1 - lens)
    # Temples go along the head, under hair; a fringe falls over the rims.
    temples = view.filled(_temples(form, pose.turn)) * (1 - smooth_step(covered + maps["background"], 0.35, 0.75))
    frame = np.maximum(frame, temples) * (1 - smooth_step(covered, 0.75, 0.98))
    light = photo_light(onto)
    shadow = _shifted(soft(frame, 0.045 * view.unit), _CAST * view.unit) * smooth_step(maps["skin"], 0.4, 0.9)
    laid = np.zeros((*frame.shape, 4), np.float32)
    laid[..., 3] = _SHADOW * shadow
    for one in lenses:
        _glaze(laid, form, view, one, light)
    over(laid, _material(form, frame, view.unit, light), frame)
    whole = np.zeros((side, side, 4), np.float32)
    part = whole[view.rows, view.columns]
    part[..., 3] = laid[..., 3]
    for channel in range(3):
        part[..., channel] = laid[..., channel] / (laid[..., 3] + 1e-6)
    return whole


def photo_light(onto: Face) -> float:
    """How much of full light there is in a photo, in [0, 1]."""
    return min(float(np.percentile(cv2.transform(onto.rgb, _MEAN), 95)) / _BRIGHT, 1.0)


@dataclass(frozen=True)
class Pose:
    """Where eyes are, in parts of a picture's side. `turn` is the sine of the head's turn to the picture's right."""

    x: float
    y: float
    apart: float
    roll: float
    turn: float


@dataclass(frozen=True)
class _View:
    """A part of a picture of `side` pixels, about the eyes."""

    pose: Pose
    side: int
    rows: slice
    columns: slice

    @property
    def unit(self) -> float:
        """Pixels between the eyes of a head that is not turned."""
        return self.pose.apart * self.side

    def part(self, left: float, top: float, right: float, bottom: float) -> _View:
        """A part of the part, by its pixels, and one more around it."""
        ends = [
            slice(max(own.start, own.start + int(first) - 1), min(own.stop, own.start + int(last) + 2))
            for own, first, last in ((self.rows, top, bottom), (self.columns, left, right))
        ]
        return _View(self.pose, self.side, *ends)

    def of(self, values: Floats) -> Floats:
        """That part of a whole picture of any size."""
        size = values.shape[0] / self.side
        matrix = np.array([[size, 0, size * self.columns.start], [0, size, size * self.rows.start]], np.float32)
        matrix[:, 2] += size / 2 - 0.5
        shape = (self.columns.stop - self.columns.start, self.rows.stop - self.rows.start)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(values, matrix, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE))

    def placed(self, points: Floats) -> Floats:
        """(N, 3) in space -> (N, 2) pixels of the part."""
        pose = self.pose
        along = points[:, 0] * (1 - pose.turn**2) ** 0.5 + points[:, 2] * pose.turn
        cos, sin = np.cos(pose.roll), np.sin(pose.roll)
        turned = np.stack([cos * along - sin * points[:, 1], sin * along + cos * points[:, 1]], 1)
        place = self.side * (np.array([pose.x, pose.y]) + pose.apart * turned)
        return np.asarray(place - (self.columns.start, self.rows.start), dtype=np.float32)

    def filled(self, outlines: Sequence[Floats]) -> Floats:
        """How much of each pixel lies inside one of them, in [0, 1]."""
        picture = np.zeros((self.rows.stop - self.rows.start, self.columns.stop - self.columns.start), np.uint8)
        for outline in outlines:
            points = np.rint((self.placed(outline) - 0.5) * 256).astype(np.int32)
            cv2.fillPoly(picture, [points], 255, cv2.LINE_AA, shift=8)
        return np.asarray(picture, dtype=np.float32) / np.float32(255)


def _view(pose: Pose, side: int) -> _View:
    def part(middle: float, reach: float) -> slice:
        ends = (round(side * (middle + sign * reach * pose.apart)) for sign in (-1, 1))
        first, last = (max(0, min(end, side)) for end in ends)
        return slice(first, last)

    return _View(pose, side, part(pose.y, _AROUND[1]), part(pose.x, _AROUND[0]))


def pose_of(onto: Face) -> Pose:
    side, edge, near = onto.rgb.shape[0], (1 - onto.inner) / 2, _NEAR * onto.inner
    eyes = []
    for x, y in edge + onto.inner * _EYES:
        rows, columns = (slice(int((at - near) * side), int((at + near) * side) + 1) for at in (y, x))
        down, along = (np.mgrid[rows, columns] + 0.5) / side
        weight = onto.maps["eyes"][rows, columns] * (np.hypot(along - x, down - y) < near)
        total = float(weight.sum()) + 1e-6
        found = np.array([(weight * along).sum(), (weight * down).sum()]) / total
        eyes.append((x, y) + total / (total + _FEW) * (found - (x, y)))
    x, y = (eyes[0] + eyes[1]) / 2
    across, lower = eyes[1] - eyes[0]
    apart = float(np.hypot(across, lower))
    turn = _turn(onto, x, y, apart) if onto.turn is None else onto.turn
    return Pose(x, y, apart / (1 - min(turn**2, 0.5)) ** 0.5, float(np.arctan2(lower, across)), turn)


def turn_by_skin(onto: Face) -> float:
    """The sine of a head's turn to the picture's right, by where the skin of its cheeks ends."""
    return pose_of(replace(onto, turn=None)).turn


def _turn(onto: Face, x: float, y: float, apart: float) -> float:
    """How far a head is turned, by its skin: eyes lie before its axis, so they move across the face."""
    side = onto.rgb.shape[0]
    face = onto.maps["skin"] + onto.maps["eyes"] + onto.maps["brows"] + onto.maps["mouth"] + onto.maps["glasses"]
    rows = face[round((y + 0.1 * apart) * side) : round((y + apart) * side)]
    across = np.flatnonzero(rows.mean(0) > 0.5)
    return float((x - (across[0] + across[-1] + 1) / 2 / side) / apart / _BEFORE) if len(across) > 1 else 0.0


def _worn(onto: Face, pose: Pose) -> bool:
    """Whether a face wears glasses already: what is taken for some beside the eyes may be make-up, or hair."""
    side = onto.rgb.shape[0]
    rows = slice(round(side * (pose.y - 0.2 * pose.apart)), round(side * (pose.y + 0.3 * pose.apart)))
    bridge = onto.maps["glasses"][rows, round(side * (pose.x - 0.08)) : round(side * (pose.x + 0.08))]
    return bool(bridge.size and bridge.max(0).mean() > _BRIDGED)


def _lens(form: Style, sign: int, rims: tuple[float, float, float] = (0, 0, 0)) -> Floats:
    """The outline of a lens, or of its rim, (N, 3)."""
    top, beside, bottom = rims
    angle = np.linspace(0, 2 * np.pi, 144, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    across = np.sign(cos) * np.abs(cos) ** (2 / form.power)
    down = np.sign(sin) * np.abs(sin) ** (2 / form.power)
    x = (form.width + beside) * across * (1 - form.taper * down)
    y = (form.height + (top + bottom) / 2) * down - (top - bottom) / 2 - form.lift * across
    return _in_front(sign * (x + _LENS[0]), y + _LENS[1])


def _in_front(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> Floats:
    """On the frame's front, which is bent about the face."""
    return np.stack([x, y, _FRONT - _WRAP * x * x], 1).astype(np.float32)


def _bars(form: Style) -> list[Floats]:
    """The bridge, and the ends that hold the temples."""
    inner = _LENS[0] - form.width * (1 + 0.5 * form.taper) + 0.01
    thick = max(form.rims[0], 0.045)
    x = np.linspace(-inner, inner, 13)
    arch = 0.045 * (1 - (x / inner) ** 2)
    top = _LENS[1] - 0.35 * form.height - arch
    bridge = np.concatenate([_in_front(x, top - thick / 2), _in_front(x[::-1], (top + thick / 2 - 0.3 * arch)[::-1])])
    outer = _LENS[0] + form.width * 0.93
    ends = []
    for sign in (-1, 1):
        x = sign * np.array([outer, max(_HINGE[0], outer + 0.08), max(_HINGE[0], outer + 0.08), outer])
        ends.append(_in_front(x, _HINGE[1] + np.array([-0.6, -0.5, 0.5, 0.6]) * thick))
    return [bridge, *ends]


def _temples(form: Style, turn: float) -> list[Floats]:
    """From the ends back to the ears, on that side of a head that is seen."""
    thick = max(0.8 * form.rims[0], 0.035)
    found = []
    outer = max(_HINGE[0], _LENS[0] + form.width * 0.93 + 0.08)
    for sign in (-1, 1):
        part = np.linspace(0, 1, 9)
        x = sign * (outer + (_EAR[0] - outer) * np.sqrt(part))
        y = _HINGE[1] + (_EAR[1] - _HINGE[1]) * part
        front = _FRONT - _WRAP * outer * outer
        z = front + (_EAR[2] - front) * part
        upper, lower = (np.stack([x, y + half * thick, z], 1) for half in (-0.5, 0.5))
        if sign * (x[-1] * np.sqrt(1 - turn**2) + z[-1] * turn) > sign * (x[0] * np.sqrt(1 - turn**2) + z[0] * turn):
            found.append(np.concatenate([upper, lower[::-1]]).astype(np.float32))
    return found


def _material(form: Style, frame: Floats, unit: float, light: float) -> Floats:
    """The frame's colours, (S, S, 3): edges that look up are lit, those that look down are not."""
    relief = soft(frame, 0.022 * unit)
    up = cv2.Sobel(relief, cv2.CV_32F, 0, 1) * 0.022 * unit
    lit = (up * frame).clip(-1, 1)
    varied = np.float32(1)
    if form.mottled:
        noise = np.random.default_rng(0).standard_normal(frame.shape).astype(np.float32)
        noise = soft(noise, 0.05 * unit)
        varied = 1 + form.mottled * (noise / noise.std()).clip(-2, 2) / 2
    edges = _GLOSS * lit.clip(0, 1) - _DULL * (-lit).clip(0, 1)
    planes = [light * (np.float32(value) * varied + edges) for value in form.colour]
    return np.asarray(np.dstack(planes).clip(0, 255), dtype=np.float32)


def _glaze(laid: Floats, form: Style, view: _View, outline: Floats, light: float) -> None:
    """Lay a lens on: it keeps some light, and the sky is seen in it."""
    (left, top), (right, bottom) = view.placed(outline).min(0), view.placed(outline).max(0)
    lens = view.part(left, top, right, bottom)
    inside = lens.filled([outline])
    down, along = np.mgrid[lens.rows, lens.columns].astype(np.float32)
    row, column = (down - view.rows.start - top) / (bottom - top), (along - view.columns.start - left) / (right - left)
    dark = form.lens[0] + (form.lens[1] - form.lens[0]) * row.clip(0, 1)
    streak = np.exp(-np.square((column + 0.55 * row - 0.5) / 0.16)) * smooth_step(1 - row, 0.1, 0.9)
    sky = _SKY[form.lens[0] > 0.5] * streak
    share = (sky / (sky + dark))[..., None]
    colour = light * (_SKY_COLOUR * share + _GLASS_COLOUR * (1 - share))
    rows = slice(lens.rows.start - view.rows.start, lens.rows.stop - view.rows.start)
    columns = slice(lens.columns.start - view.columns.start, lens.columns.stop - view.columns.start)
    over(laid[rows, columns], colour, np.asarray(inside * (sky + dark).clip(0, 1), dtype=np.float32))


def _shifted(values: Floats, down: float) -> Floats:
    matrix = np.array([[1, 0, 0], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(values, matrix, values.shape[::-1]))


def over(laid: Floats, colour: npt.NDArray[np.floating], cover: Floats) -> None:
    """Put one more layer over premultiplied (S, S, 4), in place."""
    rest, colour = 1 - cover, colour.astype(np.float32)
    for channel in range(4):  # one at a time: NumPy takes three times as long for all
        laid[..., channel] *= rest
        laid[..., channel] += cover * colour[..., channel] if channel < 3 else cover
