"""A knitted hat drawn onto a photo: a dome of ribs with a turned-up cuff, on the person's own head and in its light.

Long hair goes on below it; what stood out above gives way to what is behind.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from lc.faces.composites import Face, Floats
from lc.faces.fill import filled
from lc.faces.frames import over, photo_light
from lc.faces.heads import UPRIGHT, Head, between, face_of, head_of, unsure, with_strands
from lc.faces.masks import grown, smooth_step, soft

__all__ = ["COLOURS", "beanie"]

#: RGB of 0..255 in full light, one for each style.
COLOURS: tuple[tuple[int, int, int], ...] = (
    (44, 56, 96),
    (108, 110, 118),
    (226, 218, 202),
    (128, 40, 50),
    (204, 152, 62),
)

_FINE = 3  # times as many pixels as the photo's crop that is laid onto
_WORN = 0.5  # share of a head above the brows that shows a hat, where one is worn

# In parts of the head's half width, and of what lies between its eyes and its crown.
_WIDE, _HIGH = 1.08, 1.13
_BROW, _EAR = 0.36, 0.26  # how far above the eyes its edge is in the middle, and how much lower at the sides
_CUFF, _BULGE = 0.3, 0.035  # how high its cuff is, and how much wider than the rest
_RIBS = 15.0  # to each side
_FUZZ = 0.6  # pixels by which wool stands out
_FALL = (0.2, 0.95)  # how far aside hair falls: by the root of how far down, and by that
_LOCKS = 0.012

_AMBIENT, _RIM, _SIDE = 0.6, 0.36, 0.1  # light: from everywhere, what the rim loses, what one side has more
_SHADOW, _CAST = 0.42, 0.09  # how dark a shadow it throws, and how far down


def beanie(onto: Face, style: int = 0) -> Floats | None:
    """A knitted hat for a person; None where no face is found, or where a hat is worn.

    Args:
        onto: the photo's face.
        style: which of `COLOURS`; they go round.

    Returns:
        (S, S, 4), finer than the face by a whole factor: what is laid on, RGB of 0..255, and how much of it covers the
        picture, in [0, 1].
    """
    face = face_of(onto)
    if face.sum() < 50:
        return None
    head = head_of(onto, face)
    above = np.arange(len(face))[:, None] < head.y - _BROW * head.crown
    if onto.sure("hat")[(head.depth > 0) & above].mean() > _WORN:
        return None
    laid: Floats = np.asarray(cv2.resize(_bared(onto, head), None, fx=_FINE, fy=_FINE), dtype=np.float32)
    box, across, up = _places(head, len(face))
    skin = cv2.resize(onto.maps["skin"] + onto.maps["hair"], None, fx=_FINE, fy=_FINE)[box]
    colour = np.array(COLOURS[style % len(COLOURS)], np.float32) * photo_light(onto)
    edge: Floats = np.asarray(
        up - _BROW + _EAR * np.abs(across).clip(0, 1.2) ** 2.2, dtype=np.float32
    )  # above its edge
    noise = _noise(_FINE * len(face))[box]
    thick = smooth_step(edge, -0.02, 0.04) * (1 - smooth_step(edge, _CUFF - 0.03, _CUFF + 0.02))
    across = np.asarray(across / (1 + _BULGE * thick), dtype=np.float32)
    radius = _radius(across, up)
    unit = _WIDE * head.width * _FINE  # pixels
    inside = smooth_step((1 - radius) * unit + _FUZZ * noise, -1.5, 1.5)
    inside *= smooth_step(edge * unit + _FUZZ * noise, -1.5, 1.5)
    below = np.exp(-np.square((edge / _CAST).clip(None, 0))) * smooth_step(1.02 - radius, 0.0, 0.05)
    hat = laid[box]
    over(hat, np.zeros(3), np.asarray(_SHADOW * below * skin, dtype=np.float32))
    over(hat, (colour * _lit(across, up, edge, radius, noise)[..., None]).clip(0, 255), inside)
    return np.concatenate([laid[..., :3] / (laid[..., 3:] + 1e-6), laid[..., 3:]], 2).astype(np.float32)


def _places(head: Head, side: int) -> tuple[tuple[slice, slice], Floats, Floats]:
    """The part of the picture about a hat; and how far aside and above the eyes its pixels lie, see `_WIDE`."""
    wide, high = _WIDE * head.width, _HIGH * head.crown
    ends = [(head.y - 1.1 * high, head.y + 0.1 * high), (head.x - 1.1 * wide, head.x + 1.1 * wide)]
    rows, columns = (slice(*(round(_FINE * between(end, 0, side)) for end in pair)) for pair in ends)
    down, along = (np.mgrid[rows, columns].astype(np.float32) + 0.5) / _FINE
    return (rows, columns), (along - head.x) / wide, (head.y - down) / high


def _radius(across: Floats, up: Floats) -> Floats:
    """1 on the outline of a head with a hat, and 0 between its eyes."""
    return np.asarray((np.abs(across) ** UPRIGHT + up.clip(0) ** UPRIGHT) ** (1 / UPRIGHT), dtype=np.float32)


def _lit(across: Floats, up: Floats, edge: Floats, radius: Floats, noise: Floats) -> Floats:
    """How light the knitting is, of its colour."""
    height = (1 - up.clip(0, 0.999) ** UPRIGHT) ** (1 / UPRIGHT)  # half the width at a row
    cuff = 1 - smooth_step(edge, _CUFF - 0.01, _CUFF + 0.01)
    turn = np.arcsin((across / (height + (1 - height) * cuff)).clip(-1, 1))  # about the head
    rib = np.abs(np.cos(_RIBS * turn)) ** 0.7
    stitch = np.sin(up * 190 + 2.2 * np.cos(2 * _RIBS * turn))
    facing = np.sqrt(1 - radius.clip(0, 1) ** 2)
    light = _AMBIENT + 0.4 - _RIM * (1 - facing) ** 1.4 - _SIDE * across
    roll = ((edge / _CUFF) * 2 - 1).clip(-1, 1)
    light = light * (1 - 0.3 * cuff * roll**4)
    fold = np.exp(-((edge - _CUFF).clip(0) / 0.07)) * (1 - cuff)
    return np.asarray(
        (light * (1 - 0.4 * fold) * (0.72 + 0.28 * rib) * (1 + 0.05 * stitch) * (1 + 0.05 * noise)).clip(0, 1.3),
        dtype=np.float32,
    )


def _bared(onto: Face, head: Head) -> Floats:
    """What is behind, premultiplied (S, S, 4), where hair stood out over and beside the hat."""
    side = len(onto.rgb)
    down, along = np.mgrid[:side, :side].astype(np.float32)
    aside, up = np.abs(along - head.x) / (_WIDE * head.width), (head.y - down) / (_HIGH * head.crown)
    hair = grown(with_strands(onto), 5)
    # Hair beside it falls outwards from its edge, in locks; over that there is none.
    depth = _BROW - _EAR - up
    fall = 1 + _FALL[0] * np.sqrt(depth.clip(0)) + _FALL[1] * depth + _LOCKS * _noise(side)
    bare = np.maximum(smooth_step(aside - fall, 0.0, 0.08), smooth_step(-depth, 0.0, 0.06))
    cover = soft(hair, 1.2) * unsure(onto) * smooth_step(_radius(aside, up), 0.96, 1.0) * bare
    known = ~grown(hair | onto.sure("skin", "cloth", "brows", "eyes", "mouth", "glasses"), 9)
    behind = filled(onto.rgb, known & onto.shown)
    return np.concatenate([behind * cover[..., None], cover[..., None]], 2).astype(np.float32)


@cache
def _noise(side: int) -> Floats:
    """The same for everybody, (side, side), of deviation 1."""
    chance = np.random.default_rng(0)
    fine = soft(chance.standard_normal((side, side)).astype(np.float32), 1.0)
    small = chance.standard_normal((side // 8, side // 8)).astype(np.float32)
    broad = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    mixed: npt.NDArray[np.float32] = fine / fine.std() + broad / broad.std()
    return np.asarray(mixed / mixed.std(), dtype=np.float32)
