"""Bald heads: skin, in the person's own tone and light, on an ellipsoid over the brows; where hair stood out beyond it,
what is behind goes on."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lc.faces.composites import Face, Floats
from lc.faces.fill import filled
from lc.faces.heads import EYES, HAIR, Head, between, face_of, hair_of, head_of, unsure, with_strands
from lc.faces.masks import Mask, grown, shrunk, smooth_step, soft
from lc.faces.tone import to_lab, to_rgb

__all__ = ["scalp"]

# Places in parts of the crop's side, in CelebA's framing.
_CHEEKS = 0.75  # below, skin is in the chin's shadow, or the neck's
_STAYS = 0.95  # probability of background from which on what lies between strands stays as it is

_ASIDE = 0.05  # of a head's half width from which on glasses beside it are none
_NEAR_HAIR = 15  # width of the brush about hair in which they are
_ENCLOSED = 0.015  # share of the crop up to which what hair encloses goes with it
_BEYOND = 0.25  # of a head's half width, how far
_BROW = 0.3  # of the way from the eyes to the crown, where brows end
_OFF = (10.0, 9.0)  # how far skin above them may be from that below, in L*, and in a* and b*

# Light of skin, in L*.
_LIT = 12.0  # at most, how much lighter one side of a head is than the middle
_RIM = 16.0  # how much darker the rim is, on skin of middle lightness
_SHINE = 5.0
_HIGH = 0.1  # parts of the way from the eyes to the crown from which on skin is the forehead's
_LIGHT = 60  # per cent of skin that is darker than what its tone is read off: the top of a head is seldom in shadow
_NEAR = 0.09  # parts of the crop's side over which a forehead's own colour gives way to the head's
# A neck, in parts of a head's half width: how wide, and how much wider where shoulders begin, in parts of the way from
# the eyes to the chin; how dark under the chin, and how much darker at its sides.
_NECK, _SHOULDERS, _SHADED, _TURNED = (0.66, 0.5), (1.3, 2.2), 0.8, 0.2
# Ears: where they begin and how wide they are, in half widths; how low and how tall, in parts of the way to the chin.
_EAR_AT, _EAR_WIDE, _EAR_LOW, _EAR_TALL, _EARS_TURNED = 0.93, 0.115, 0.25, 0.28, 0.2
_EAR_LEAN = 0.6  # of how wide it is, how much further out it is above than in its middle
_OUT = 0.3  # of an ear's width from its middle, from which on there is no head but for it
_CHEEK = (0.3, 0.75)
_OWN_EAR = 0.7  # of where one begins, how much skin is an ear that is seen
# What stands out beside the ellipsoid and belongs to a head: from how far above the eyes, in parts of the way to the
# crown; how far out at most, of its half width; and how tall it is at least, in pixels.
_TEMPLE, _BESIDE, _TALL = 0.1, 0.4, 13
_SMOOTH = 2.5  # pixels of the blur that makes an outline smooth
_ASKANCE = 0.2  # sine of a turn from which on a head's back is seen
_LITTLE = 0.003  # share of what is behind a head up to which too little of it is far from hair
_FRINGE = 13  # width of the brush about hair in which a plain wall is drawn anew: single hairs stand out there
_AROUND = 8.0  # pixels of the blur that says whether it is plain
_PLAIN = (5.0, 12.0)  # grey levels that it varies by
_RAGGED = 9  # width of the brush about hair in which it is ragged
_GRAIN = 0.3  # of the skin's texture: a scalp is smoother than a face


def scalp(onto: Face) -> Floats | None:
    """A bald head for a person; None where no face is found, or nothing of what is behind it.

    Returns:
        (S, S, 4): what is laid on, RGB of 0..255, and how much of it covers the picture, in [0, 1].
    """
    face = face_of(onto)
    rows = np.arange(len(onto.rgb))[:, None]
    hair = hair_of(onto)
    skin = shrunk(face & ~grown(hair > 0.2, 7), 5) & onto.sure("skin") & (rows < onto.row(_CHEEKS))
    if skin.sum() < 50:
        return None
    head = head_of(onto, face)
    forehead = _of_a_tone(onto, skin, head)
    skin &= forehead
    # A forehead that stands out beyond the head was hair, or is not the one that is laid on.
    beyond = onto.sure("skin") & (head.depth <= 0) & (head.depth > -_BEYOND) & (rows < head.y - _BROW * head.crown)
    gone = _gone(onto, face, hair, rows > head.chin) | beyond
    # So were glasses that are all beside it, in hair.
    worn = _reaching(onto.sure("glasses"), head.depth > -_ASIDE)
    aside = grown(onto.sure("glasses") & ~worn & grown(gone, _NEAR_HAIR), 5)
    gone |= aside
    known = ~grown(gone | face | onto.sure("skin", "cloth"), 9) & onto.shown
    if known.mean() < _LITTLE:  # hair fills the picture: its corners tell
        known = onto.sure("background") & (hair < 0.2)
        if not known.any():
            return None
    plain = _plain(onto.rgb, known) * soft(grown(gone, _FRINGE) & (gone | onto.sure("background")), 1.5)
    behind = filled(onto.rgb, known)
    behind = _with_neck(onto, behind, skin, head)
    outline = _outline(face & ~onto.sure("glasses"), head, onto.turn or 0.0)
    ears = _ears(onto, hair, head, outline)
    gone |= face & (outline < 0.3) & grown(hair > 0.3, _RAGGED) & (rows > head.y) & (rows < head.chin - 3)
    shape = np.maximum(outline, ears[..., 0])[..., None]
    bald = behind + shape * (_skin(onto, skin, head) - behind)
    bald = bald * (1 + ears[..., :1] * (ears[..., 1:] - 1))
    own = _own(onto, face, hair) & ((head.depth > 0) | (rows > head.y)) & forehead & ~aside
    cover = np.maximum(soft(gone, 1.5) * unsure(onto), plain)
    cover = np.maximum(cover, soft((head.depth > 0) & (rows < head.y), 1.5)) * (1 - soft(own, 1.2))
    return np.concatenate([bald, cover[..., None].clip(0, 1)], 2).astype(np.float32)


def _outline(face: Mask, head: Head, turn: float) -> Floats:
    """Where the head is, (S, S) in [0, 1]: the ellipsoid and the face that stands out beside it, ears or a cheek, with
    what lies between them; where hair hid them, their border is as ragged as its strands, and made smooth."""
    rows = np.arange(len(face))[:, None]
    beside = face & (rows > head.y - _TEMPLE * head.crown) & (rows < head.chin) & (head.depth > -_BESIDE)
    middle = round(head.x)
    right = np.maximum.accumulate(beside[:, middle:][:, ::-1], 1)[:, ::-1]
    reached = np.concatenate([np.maximum.accumulate(beside[:, :middle], 1), right], 1).astype(np.uint8)
    # A lock that is taken for skin is not as tall as an ear.
    whole = (head.depth > 0) | (cv2.morphologyEx(reached, cv2.MORPH_OPEN, np.ones((_TALL, 1))) > 0)
    if abs(turn) > _ASKANCE:  # behind the cheek a head does not get narrower
        side = (np.arange(len(face)) - head.x) * turn < 0
        behind = np.argwhere(whole & side & (rows > head.y - 0.5 * head.crown) & (rows < head.chin))
        if len(behind):
            hull = cv2.convexHull(behind[:, ::-1].astype(np.int32))
            whole = cv2.fillConvexPoly(whole.astype(np.uint8), hull, 1) > 0
    return smooth_step(soft(whole, _SMOOTH), 0.35, 0.65)


def _plain(rgb: Floats, known: Mask) -> Floats:
    """How far what is known around a place looks the same everywhere, (S, S) in [0, 1]: a wall, and no leaves."""
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), _AROUND)
    mean, square = (
        cv2.GaussianBlur(known[..., None] * values, (0, 0), _AROUND) / np.maximum(weight, 1e-3)[..., None]
        for values in (rgb, rgb**2)
    )
    spread = np.sqrt((square - mean**2).clip(0).max(2))
    return (1 - smooth_step(spread, *_PLAIN)) * (weight > 0.02)


def _gone(onto: Face, face: Mask, hair: Floats, low: npt.NDArray[np.bool_]) -> Mask:
    """Where hair was, its strands and what shows between them. On shoulders only what is hair for sure."""
    shoulders = low & (onto.maps["cloth"] + onto.maps["skin"] > 0.2)
    above = np.arange(len(hair))[:, None] < onto.row(EYES)
    gone = grown(_reaching(with_strands(onto) & ((hair > HAIR) | ~shoulders), above), 5)
    closed = cv2.morphologyEx(gone.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((13, 13), np.uint8)) > 0
    gone = gone | (closed & ~face & ~onto.sure("cloth") & (onto.maps["background"] < _STAYS))
    # What hair encloses was in it, an earring say.
    _, labels, found, _ = cv2.connectedComponentsWithStats(np.asarray(~(gone | face), np.uint8))
    small = found[:, cv2.CC_STAT_AREA] < _ENCLOSED * gone.size
    small[np.setdiff1d(np.arange(len(small)), labels[grown(gone, 3)])] = False
    return np.asarray(gone | (small[labels] & (labels > 0) & onto.shown))


def _reaching(what: Mask, place: Mask) -> Mask:
    """The pieces of a mask that reach to a place: hair above the eyes and no dark shirt, glasses before a head."""
    _, labels = cv2.connectedComponents(grown(what, 3).astype(np.uint8))
    there = np.unique(labels[np.broadcast_to(place, labels.shape)])
    return np.asarray(what & np.isin(labels, there[there > 0]))


def _of_a_tone(onto: Face, skin: Mask, head: Head) -> Mask:
    """Everywhere but where what lies above the brows differs from the skin below: strands, or hair taken for skin."""
    lab = to_lab(soft(onto.rgb, 0.8))
    down, along = np.mgrid[: len(skin), : len(skin)].astype(np.float32)
    aside, above = (along - head.x) / head.width, (head.y - down) / head.crown
    low = skin & (above < _BROW)
    if low.sum() < 50:
        return np.ones_like(skin)
    tone = np.median(lab[low], 0)
    lit = _slope(lab[low, 0], aside[low], above[low])
    off = np.hypot(
        (lab[..., 0] - tone[0] - lit * aside) / _OFF[0], np.hypot(*np.moveaxis(lab[..., 1:] - tone[1:], 2, 0)) / _OFF[1]
    )
    return ~grown((off > 1) & (above > _BROW), 5)


def _own(onto: Face, face: Mask, hair: Floats) -> Mask:
    """What of the person's face stays: no forehead next to hair, which throws strands and shadows on it."""
    brows = np.arange(len(face))[:, None] < onto.row(EYES) - 0.05 * len(face)
    near = np.where(brows, grown(hair > 0.2, 13), grown(hair > 0.3, 5))
    features = grown(face & onto.sure("brows", "eyes", "glasses", "mouth"), 5) & (hair < HAIR)
    return np.asarray(shrunk(face & ~near, 3) | features)


def _skin(onto: Face, known: Mask, head: Head) -> Floats:
    """Skin all over a head, (S, S, 3), in the light and the tone of what is `known` of it."""
    lab = to_lab(onto.rgb)
    down, along = np.mgrid[: len(known), : len(known)].astype(np.float32)
    aside, above = (along - head.x) / head.width, (down - head.y) / head.crown
    tone = _tone(lab[known])
    high = known & (above < -_HIGH)
    if high.sum() >= 100:  # a forehead's own tone goes on, unless it lies in the shadow of a fringe
        # What shines has less colour than the skin that it shines on.
        forehead = _tone(lab[high])
        light = max(tone[0], forehead[0])
        tone = np.array([light, *max(tone[1:], forehead[1:], key=lambda ab: float(np.hypot(*ab)))])
    lit = between(_slope(lab[known, 0], aside[known], above[known]), -_LIT, _LIT)
    away = 1 - np.sqrt(1 - np.square(1 - head.depth).clip(0, 1))  # of the surface from the viewer
    light = tone[0] + lit * aside - _RIM * (0.5 + tone[0] / 120) * away
    spot = ((aside - 0.15 * np.sign(lit)) / 0.45) ** 2 + ((above + 0.62) / 0.22) ** 2
    light += _SHINE * np.exp(-spot)
    bald = np.stack([light, np.full_like(light, tone[1]), np.full_like(light, tone[2])], 2)
    # Next to the face, its own colour goes on.
    distance = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 5)
    near = np.exp(-distance / (_NEAR * onto.inner * len(known)))[..., None]
    bald += near * (to_lab(filled(onto.rgb, known)) - bald)
    texture = lab[..., 0] - cv2.GaussianBlur(lab[..., 0], (0, 0), 1.2)
    noise = cv2.GaussianBlur(np.random.default_rng(0).standard_normal(known.shape).astype(np.float32), (0, 0), 0.8)
    bald[..., 0] += noise / noise.std() * min(_GRAIN * float(texture[known].std()), 0.6)
    return to_rgb(bald.astype(np.float32))


def _tone(lab: Floats) -> Floats:
    """The tone of skin, (N, 3) -> (3,)."""
    light = np.percentile(lab[:, 0], [_LIGHT - 10, _LIGHT + 10])
    return np.asarray(lab[(lab[:, 0] >= light[0]) & (lab[:, 0] <= light[1])].mean(0))


def _ears(onto: Face, hair: Floats, head: Head, outline: Floats) -> Floats:
    """The ears that hair hid, and the cheeks before them, where a head looks straight ahead: (S, S, 2), where they are,
    in [0, 1], and their light, of the skin's."""
    side = len(hair)
    down, along = np.mgrid[:side, :side].astype(np.float32)
    drawn = np.zeros((side, side, 2), np.float32)
    tall = _EAR_TALL * (head.chin - head.y)
    for sign in (-1, 1):
        out = sign * (along - head.x) / head.width
        aside = (out - _EAR_AT) / _EAR_WIDE
        up = (head.y + _EAR_LOW * (head.chin - head.y) - down) / tall
        aside = aside - _EAR_LEAN * up
        radius = np.hypot(aside * (1 - 0.25 * up), up)
        cover = smooth_step(1 - radius, -0.06, 0.1) * smooth_step(aside, -0.9, -0.5)
        outer, far, inner = ((radius < 1) & part for part in (aside > 0, aside > _OUT, aside < 0.3))
        if abs(onto.turn or 0.0) > _EARS_TURNED or not (far.any() and inner.any()):
            continue
        hidden = hair[outer].mean() > HAIR and onto.maps["skin"][inner].mean() < _OWN_EAR
        if not hidden or outline[far].mean() > 0.5:  # there is one that is seen
            continue
        hollow = np.exp(-np.square(np.hypot((aside + 0.25) / 0.4, (up - 0.05) / 0.55)) * 1.5)
        rim = np.exp(-np.square((radius - 0.82) / 0.12)) * (aside > -0.2)
        light = 0.9 - 0.2 * hollow + 0.06 * rim - 0.22 * smooth_step(-aside, 0.3, 0.8)
        # Where it begins there is a cheek, which narrows below it.
        below = (down - head.y) / (head.chin - head.y)
        cheek = smooth_step(_EAR_AT - 0.3 * smooth_step(below, *_CHEEK) - out, -0.02, 0.06) * (out > 0)
        cheek *= smooth_step(below, -0.2, -0.1) * (1 - smooth_step(below, _CHEEK[1] - 0.1, _CHEEK[1]))
        light = np.where(cover > 0.5, light, 0.93)
        drawn = np.maximum(drawn, np.stack([np.maximum(cover, cheek), light], 2) * (out > 0)[..., None])
    return drawn


def _with_neck(onto: Face, behind: Floats, skin: Mask, head: Head) -> Floats:
    """What is behind a head, with the neck that hair hid, (S, S, 3): in the tone of what is seen of it."""
    down, along = np.mgrid[: len(behind), : len(behind)].astype(np.float32)
    below = (down - head.y) / max(head.chin - head.y, 1)
    half = head.width * (_NECK[0] + _NECK[1] * smooth_step(below, *_SHOULDERS))
    cover = smooth_step((half - np.abs(along - head.x)) / head.width, -0.03, 0.05) * smooth_step(below, 0.55, 0.65)
    seen = shrunk(onto.sure("skin"), 3) & (below > 1.05) & (cover > 0.5)
    tone = np.median(onto.rgb[skin], 0) * _SHADED
    neck = filled(onto.rgb, seen) if seen.sum() > 40 else np.broadcast_to(tone, behind.shape)
    # Its sides turn away.
    away = 1 - _TURNED * np.square(np.abs(along - head.x) / half).clip(0, 1)
    return np.asarray(behind + cover[..., None] * (neck * away[..., None] - behind), dtype=np.float32)


def _slope(light: Floats, aside: Floats, above: Floats) -> float:
    """How much lighter skin gets to the right, by half a head: a plane, fitted without its outliers."""
    places, weight = np.stack([np.ones_like(aside), aside, above], 1), np.ones_like(light)
    for _ in range(3):
        plane, *_rest = np.linalg.lstsq(places * weight[:, None], light * weight, rcond=None)
        weight = 1 / (1 + ((light - places @ plane) / 6) ** 2)
    return float(plane[1])
