"""Where a head is, by its face: an ellipsoid that a scalp or a hat follows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lc.faces.composites import Face, Floats
from lc.faces.masks import Mask, grown, largest, smooth_step

__all__ = [
    "EYES",
    "HAIR",
    "OVER",
    "UPRIGHT",
    "Head",
    "between",
    "face_of",
    "hair_of",
    "head_of",
    "unsure",
    "with_strands",
]

# Places in parts of the crop's side, in CelebA's framing.
EYES, _NOSE, _CHIN = 0.47, 0.62, 0.87  # rows
OVER = 0.15  # above the eyes there are no brows and no glasses
_AWAY = 0.1  # of eyes from there, at most
_HALF_WIDTH = (0.285, 0.318)  # of a head above the eyes: hair may hide the cheeks, by which it is measured
_HALF_JAW = (0.235, 0.3)  # of the face below the ears, likewise
_EARS = 0.35  # of the way from the eyes to the chin, where ears end
_LEAST = 0.2  # of a chin below the eyes, however little of a face is found
_CROWN = (0.38, 0.46)  # how far above the eyes it ends
_STRAND, HAIR = 0.15, 0.5  # probabilities of hair: of single strands around hair, and of what is hair for sure
_STRANDS = 15  # width of the brush about sure hair that finds its strands: further off, leaves look like them
_CURL = 0.12  # probability from which on what hangs together with hair is hair
_CURLS = 51  # width of the brush about sure hair in which it is
_BESIDE_CURLS = 0.2  # probability of anything else of a person from which on none is taken for a curl
_THIN = 7  # pixels that a curl is not as wide as
_EDGE = 11  # width of the brush about sure hair that finds its edge
_BESIDE, _BEHIND = (
    (0.85, 0.99),
    (0.6, 0.9),
)  # of background, there and further off: hair may hide it, and it stays as it is
_BACK = 0.8  # how much further a head reaches behind its face, of its half width and the sine of its turn
UPRIGHT = 2.35  # power of the ellipse above the eyes: heads are boxier than ellipses


@dataclass(frozen=True, eq=False)
class Head:
    """An ellipsoid, in pixels. `depth`: (S, S), how far below its rim a pixel lies; 0 on the rim, 1 in the middle."""

    x: float
    y: float
    width: float
    crown: float
    chin: float
    depth: Floats

    @property
    def cover(self) -> Floats:
        """(S, S) in [0, 1]."""
        return smooth_step(self.depth * self.width, -1.2, 1.2)


def face_of(onto: Face) -> Mask:
    """The face's skin and what lies in it, (S, S)."""
    return largest(onto.sure("skin", "brows", "eyes", "mouth", "glasses"))


def hair_of(onto: Face) -> Floats:
    """Probabilities of hair, (S, S): a head that is to be bare or covered has no hat, and what is taken for glasses
    above the brows is hair."""
    rows = np.arange(len(onto.rgb))[:, None]
    glasses = onto.maps["glasses"] * (rows < onto.row(EYES - OVER))
    return np.asarray(onto.maps["hair"] + onto.maps["hat"] + glasses, dtype=np.float32)


def with_strands(onto: Face) -> Mask:
    """Where hair is, and strands of it, (S, S)."""
    hair = hair_of(onto)
    sure = hair > HAIR
    near = (hair > _STRAND) & grown(sure, _STRANDS)
    # A curl that hangs together with hair goes further, before what is behind a head.
    _, labels = cv2.connectedComponents(np.asarray((hair > _CURL) | near, np.uint8))
    curls = np.isin(labels, np.unique(labels[sure])) & (labels > 0) & grown(sure, _CURLS)
    curls = curls & (onto.maps["cloth"] + onto.maps["skin"] < _BESIDE_CURLS)
    broad = cv2.morphologyEx(np.asarray(curls & ~near, np.uint8), cv2.MORPH_OPEN, np.ones((_THIN, _THIN), np.uint8))
    return np.asarray(near | (curls & ~grown(broad > 0, 3)))


def unsure(onto: Face) -> Floats:
    """Where a picture may show something else than what is behind a head, (S, S) in [0, 1]."""
    # An edge of hair is told from that by less than a pixel: only what lies further off is sure to be behind.
    sure = np.asarray(cv2.erode(onto.maps["background"], np.ones((5, 5), np.uint8)), dtype=np.float32)
    near = grown(hair_of(onto) > HAIR, _EDGE)
    return 1 - np.where(near, smooth_step(sure, *_BESIDE), smooth_step(sure, *_BEHIND))


def head_of(onto: Face, face: Mask) -> Head:
    """Where a head is by its face."""
    side = len(face)
    inner = onto.inner * side
    eyes = onto.sure("eyes")
    y = float(np.median(np.nonzero(eyes)[0])) if eyes.sum() > 8 else float(onto.row(EYES))  # there may be others
    y = between(y, onto.row(EYES - _AWAY), onto.row(EYES + _AWAY))
    across = np.flatnonzero(face[round(y) : onto.row(_NOSE)].mean(0) > 0.5)
    left, right = (across[0], across[-1] + 1) if len(across) else (side / 2 - 1, side / 2 + 1)
    x = float(left + right) / 2
    width = between(0.54 * (right - left) / inner, *_HALF_WIDTH) * inner
    lowest = np.flatnonzero(face[:, max(0, round(x) - 4) : round(x) + 5].any(1))
    chin = float(min(lowest[-1], onto.row(_CHIN)) if len(lowest) else onto.row(_CHIN))
    chin = max(chin, y + _LEAST * inner)
    crown = between(1.05 * (chin - y) / inner, *_CROWN) * inner
    down, along = np.mgrid[:side, :side].astype(np.float32)
    above, below = (y - down).clip(0) / crown, (down - y).clip(0) / (chin - y + 1)
    # Below the ears a head is as wide as its face.
    jaw = between(0.5 * (right - left) / inner, *_HALF_JAW) * inner
    aside = np.abs(along - x) / (width + (jaw - width) * smooth_step(below, 0.0, _EARS))
    # Who looks aside shows more of the back of the head on the other side.
    turn = onto.turn or 0.0
    aside /= 1 + _BACK * np.abs(turn) * ((along - x) * turn < 0)
    radius = np.where(down < y, (aside**UPRIGHT + above**UPRIGHT) ** (1 / UPRIGHT), np.hypot(aside, below / 1.05))
    return Head(x, y, width, crown, chin, np.asarray(1 - radius, dtype=np.float32))


def between(value: float, low: float, high: float) -> float:
    return max(low, min(value, high))
