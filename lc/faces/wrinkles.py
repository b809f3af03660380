"""The lines of an older face drawn onto a photo: where faces fold, in the skin's own tone.

What lines a photo has, `lc.faces.creases` makes deeper; a smooth face has none. A fold is a fine shadow with a lighter
ridge beside it, which fades out at both ends, a little uneven.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lc.faces.composites import Face, Floats
from lc.faces.frames import Pose, pose_of
from lc.faces.masks import grown, smooth_step, soft

__all__ = ["wrinkles"]

_FINE = 4  # times as many pixels as the photo's crop that is laid onto
_TURNED = 0.45  # sine of the furthest turn that is drawn
_SHADE, _RIDGE = 0.34, 1.26  # light of a fold's shadow, and of what stands out beside it, of the skin's
_REDDER = np.array([0.85, 1.05, 1.1], np.float32)  # powers of that for R, G and B: shadows of skin are redder
_BENT = 0.3  # how much further from the viewer a place is, by the square of how far aside it lies
_UNEVEN = 0.012  # how far lines stray


@dataclass(frozen=True)
class Fold:
    """One line, on both sides of a face unless it crosses the middle.

    Attributes:
        points: (x, y) along it, in parts of the distance between the eyes, from the middle between them; x goes
            outwards, y down.
        width: of its shadow, likewise.
        depth: how much of that would cover the skin in its middle, were its edges not soft, in [0, 1].
        ridge: on which side it stands out: 1 is to the right of who goes along it on the picture's right.
        across: whether it crosses the middle.
    """

    points: tuple[tuple[float, float], ...]
    width: float
    depth: float
    ridge: float = 1.0
    across: bool = False


FOLDS: tuple[Fold, ...] = (
    # From the wings of the nose to the corners of the mouth, and on from there.
    Fold(((0.27, 0.62), (0.36, 0.72), (0.44, 0.86), (0.48, 1.02), (0.47, 1.14)), 0.02, 0.55, -1.0),
    Fold(((0.42, 1.14), (0.46, 1.24), (0.47, 1.36), (0.44, 1.46)), 0.018, 0.36, -1.0),
    # Under the eyes.
    Fold(((0.24, 0.1), (0.34, 0.2), (0.5, 0.235), (0.66, 0.2), (0.74, 0.13)), 0.016, 0.5),
    Fold(((0.28, 0.2), (0.4, 0.31), (0.54, 0.345), (0.68, 0.31)), 0.02, 0.32),
    # Beside them.
    Fold(((0.8, -0.02), (0.88, -0.06), (0.97, -0.11)), 0.011, 0.4),
    Fold(((0.81, 0.04), (0.9, 0.04), (0.99, 0.03)), 0.011, 0.42),
    Fold(((0.8, 0.1), (0.88, 0.15), (0.96, 0.19)), 0.011, 0.38),
    # Between the brows, and over them.
    Fold(((0.09, -0.34), (0.075, -0.25), (0.09, -0.16)), 0.013, 0.4),
    Fold(
        ((-0.62, -0.5), (-0.4, -0.56), (-0.15, -0.53), (0.0, -0.52), (0.2, -0.54), (0.42, -0.56), (0.6, -0.5)),
        0.014,
        0.36,
        1,
        True,
    ),
    Fold(
        ((-0.58, -0.66), (-0.35, -0.7), (-0.1, -0.68), (0.12, -0.67), (0.36, -0.7), (0.56, -0.65)), 0.014, 0.36, 1, True
    ),
    Fold(((-0.45, -0.82), (-0.2, -0.84), (0.05, -0.82), (0.3, -0.84), (0.44, -0.81)), 0.013, 0.28, 1, True),
)


def wrinkles(onto: Face) -> Floats | None:
    """Lines for a face; None where the head is turned away.

    Args:
        onto: the photo's face.

    Returns:
        (S, S, 4), finer than the face by a whole factor: what is laid on, RGB of 0..255, and how much of it covers the
        picture, in [0, 1].
    """
    pose, side = pose_of(onto), _FINE * len(onto.rgb)
    skin = onto.maps["skin"] > 0.5
    if abs(pose.turn) > _TURNED or skin.sum() < 50:
        return None
    chance = np.random.default_rng(0)
    dark, light = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    for fold in FOLDS:
        for sign in (1,) if fold.across else (-1, 1):
            _draw(dark, light, fold, sign, pose, side, chance)
    inside = soft(skin & ~grown(onto.sure("brows", "eyes", "mouth", "glasses", "hair"), 3), 0.7)
    free = np.asarray(cv2.resize(smooth_step(inside, 0.4, 0.8), (side, side), interpolation=cv2.INTER_LINEAR))
    tone = cv2.resize(soft(onto.rgb, 1.5), (side, side), interpolation=cv2.INTER_LINEAR)
    cover = ((dark + light) * free).clip(0, 1)
    there = cover > 0
    shade = (_SHADE * dark[there] + _RIDGE * light[there]) / (dark[there] + light[there])
    tone[there] *= shade[:, None] ** _REDDER
    return np.concatenate([tone.clip(0, 255), cover[..., None]], 2).astype(np.float32)


def _draw(
    dark: Floats, light: Floats, fold: Fold, sign: int, pose: Pose, side: int, chance: np.random.Generator
) -> None:
    """Add a fold's shadow and its ridge, in place."""
    unit = pose.apart * side
    points = _curve(np.array(fold.points))
    along = np.linspace(0, 1, len(points))
    stray = np.cumsum(chance.normal(0, 1, (len(points), 2)), 0)
    stray -= stray[:1] + along[:, None] * (stray[-1:] - stray[:1])
    points = points + _UNEVEN * stray / (np.abs(stray).max() + 1e-6)
    x, y = sign * points[:, 0], points[:, 1]
    z = -_BENT * x * x
    flat = x * (1 - pose.turn**2) ** 0.5 + z * pose.turn
    cos, sin = np.cos(pose.roll), np.sin(pose.roll)
    place = np.stack([pose.x * side + unit * (cos * flat - sin * y), pose.y * side + unit * (sin * flat + cos * y)], 1)
    way = np.gradient(place, axis=0)
    normal = np.stack([-way[:, 1], way[:, 0]], 1) / (np.hypot(*way.T)[:, None] + 1e-6)
    ends = np.sin(np.pi * along) ** 0.6 * (0.75 + 0.25 * np.sin(along * 7 + chance.uniform(0, 6)))
    width = fold.width * unit
    for picture, offset, part in ((dark, 0.0, 1.0), (light, 1.6 * width * fold.ridge * sign, 0.7)):
        _stroke(picture, place + offset * normal, width, fold.depth * part * ends)


def _curve(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Through points, (N, 2) -> (M, 2), by Catmull and Rom."""
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    part = np.linspace(0, 1, 12, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(ends[:-3], ends[1:-2], ends[2:-1], ends[3:], strict=True):
        pieces.append(
            0.5 * (2 * b + (c - a) * part + (2 * a - 5 * b + 4 * c - d) * part**2 + (3 * (b - c) + d - a) * part**3)
        )
    return np.concatenate([*pieces, points[-1:]])


def _stroke(picture: Floats, place: npt.NDArray[np.float64], width: float, depth: npt.NDArray[np.float64]) -> None:
    """Add a soft line, in place."""
    edge = int(4 * width) + 2
    left, top = (max(0, int(value) - edge) for value in place.min(0))
    right, bottom = (min(len(picture), int(value) + edge + 1) for value in place.max(0))
    if left >= right or top >= bottom:
        return
    drawn = np.zeros((bottom - top, right - left), np.float32)
    points = np.rint((place - (left, top) - 0.5) * 16).astype(np.int32)
    for first, second, part in zip(points[:-1], points[1:], (depth[1:] + depth[:-1]) / 2, strict=True):
        cv2.line(drawn, first, second, float(part), max(1, round(width * 0.8)), cv2.LINE_8, 4)
    drawn = soft(drawn, max(0.8, 0.5 * width))
    picture[top:bottom, left:right] = np.maximum(picture[top:bottom, left:right], drawn)
