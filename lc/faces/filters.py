"""Filters of the blend: what is made larger, softer or sharper.

Pictures are floats, (S, S, C) or (S, S).
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from lc.faces.masks import smooth_step

__all__ = [
    "LUMA",
    "SIDE",
    "as_sharp",
    "blurred",
    "boxed",
    "clipped",
    "continued",
    "crisp",
    "enlarged",
    "fade",
    "gradient",
    "guided",
    "largest_of",
    "resized",
    "softened",
    "softness",
    "spread",
]

_Floats: TypeAlias = npt.NDArray[np.float32]

#: Lengths are parts of the crop's side, so that a face is blended alike whatever the crop's resolution; this is the
#: side of the crops that they were set by.
SIDE = 64

LUMA = np.array([0.299, 0.587, 0.114], np.float32)

_EDGE = 8.0  # contrast in the photo from which on the change follows its edges
_SHARPENING = 0.7
_WIDEST, _CONTRAST = 8, 40.0  # pixels to either side that an edge may take, and the least contrast that is one
_SHARP = 1.3  # pixels, what edges of sharp photos are soft by
_CREASE, _USUAL = 2.0, 1.3  # pixels within which grain is stronger than it is as a rule, by this, along an edge
_GRAIN = 1.5  # standard deviations of the photo's grain that are kept where matter is replaced


def guided(change: _Floats, guide: _Floats, radius: int) -> _Floats:
    """Let a soft change follow the photo's edges: the guided filter (He, Sun and Tang, 2013), on boxes.

    Args:
        change: (S, S, 3).
        guide: (S, S), the photo's luma.
        radius: half the boxes' side.
    """
    mean = boxed(guide, radius)
    variance = boxed(guide * guide, radius) - mean * mean + _EDGE**2
    change_mean = boxed(change, radius)
    slope = (boxed(guide[..., None] * change, radius) - mean[..., None] * change_mean) / variance[..., None]
    offset = change_mean - slope * mean[..., None]
    return np.asarray(boxed(slope, radius) * guide[..., None] + boxed(offset, radius))


def spread(values: _Floats, weight: _Floats) -> _Floats:
    """Blur (S, S, 3) values so that those of no weight take over their surroundings'."""
    weight, sigma = weight[..., None] + 1e-3, 4 * values.shape[0] / SIDE
    return np.asarray(blurred(values * weight, sigma) / blurred(np.repeat(weight, 3, 2), sigma))


def as_sharp(matter: _Floats, canvas: _Floats, cover: _Floats) -> _Floats:
    """Enlarge the model's face to the canvas, and sharpen it as far as the photo is sharp where it is covered."""
    side = canvas.shape[0]
    soft, sharp = enlarged(matter, side), crisp(matter, side)
    steepness = [float((gradient(image) * cover).sum()) for image in (soft, sharp, canvas)]
    part = (steepness[2] - steepness[0]) / max(steepness[1] - steepness[0], 1e-3)
    return np.asarray(soft + float(np.clip(part, 0, 1)) * (sharp - soft))


def softness(image: _Floats) -> float:
    """How far an image is out of focus, or shaken: the deviation, in pixels, of the blur that its steepest edges show.

    Args:
        image: (S, S, 3).

    Returns:
        The deviation of a Gaussian blur that sharp photos would have to go through to have such edges; 0 for a sharp
        one, or one without edges. Blurs of more than half of `_WIDEST` are seen as that.
    """
    image = blurred(image, 0.5)  # without its grain
    luma = image @ LUMA
    window = np.ones((2 * _WIDEST + 1,) * 2, np.uint8)
    contrast = cv2.dilate(luma, window) - cv2.erode(luma, window)
    edges = contrast > max(_CONTRAST, float(np.percentile(contrast, 60)))
    if edges.sum() < _WIDEST**2:
        return 0.0
    # The middle of a blurred edge is as steep as a normal distribution is high there.
    steepest = float(np.percentile((gradient(image) / 8 / np.maximum(contrast, 1))[edges], 98))
    return float(np.sqrt(max(0.0, 1 / (2 * np.pi * steepest**2) - _SHARP**2)))


def softened(image: _Floats, deviation: float) -> _Floats:
    """Through a Gaussian blur, in pixels; one that nobody would see is left out."""
    return blurred(image, deviation) if deviation > 0.3 else image


def crisp(values: _Floats, side: int, sharpening: float = _SHARPENING) -> _Floats:
    """Enlarge (S, S, C) by doublings, each sharpened within what its neighbours have, so that there are no halos."""
    shape = (side, side, values.shape[2])
    sharp = enlarged(values, min(side, 2 * values.shape[0]))
    while sharp.shape[0] < side:
        sharp = enlarged(sharp, min(side, 2 * sharp.shape[0]))
        neighbours = np.ones((3, 3), np.uint8)
        low, high = cv2.erode(sharp, neighbours), cv2.dilate(sharp, neighbours)
        sharp = (sharp + sharpening * (sharp - blurred(sharp, 1.2))).clip(low, high)
    return sharp.reshape(shape)


def clipped(grain: _Floats, cover: _Floats) -> _Floats:
    """Grain of what is covered, (h, w, 3) and (h, w, 1), without the edges and creases in it, which were replaced."""
    strength, covered = np.abs(grain), cover[..., 0] > 0.5
    usual = float(np.median(strength[covered] if covered.any() else strength)) / 0.6745  # a deviation from the median
    grain = grain.clip(-_GRAIN * usual, _GRAIN * usual)
    # A crease is weaker than an edge, but it goes on: all about it there is more than grain.
    near = blurred(largest_of(strength), _CREASE)[..., None]
    return np.asarray(grain * np.minimum(1, (_USUAL * usual + 1e-3) / (near + 1e-3)) ** 3)


def fade(side: int, part: float) -> _Floats:
    """(side, side) weights: 0 on the border, a smooth step up to 1 over a part of the side."""
    position = np.linspace(0, 1, side, dtype=np.float32)
    ramp = smooth_step(np.minimum(position, 1 - position), 0, part)
    return np.asarray(ramp[:, None] * ramp)


def enlarged(values: _Floats, side: int) -> _Floats:
    return np.asarray(cv2.resize(values, (side, side), interpolation=cv2.INTER_CUBIC))


def resized(values: _Floats, side: int) -> _Floats:
    """Enlarged, or shrunk without aliasing."""
    if side >= values.shape[0]:
        return enlarged(values, side)
    return np.asarray(cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA))


def blurred(values: _Floats, sigma: float) -> _Floats:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))


def continued(values: _Floats, reach: int) -> _Floats:
    """(S, S, C) or (S, S) with `reach` more pixels on every side, which are as those on the border."""
    return np.asarray(cv2.copyMakeBorder(values, reach, reach, reach, reach, cv2.BORDER_REPLICATE))


def largest_of(values: _Floats) -> _Floats:
    """(S, S, 3) -> (S, S), the largest of the channels."""
    return np.asarray(np.maximum(np.maximum(values[..., 0], values[..., 1]), values[..., 2]))


def boxed(values: npt.NDArray[np.floating], radius: int) -> _Floats:
    """The mean over a box around each pixel."""
    box = (2 * radius + 1, 2 * radius + 1)
    blurred = np.asarray(cv2.blur(values, box, borderType=cv2.BORDER_REFLECT), dtype=np.float32)
    return blurred.reshape(values.shape)


def gradient(image: _Floats) -> _Floats:
    """(S, S, 3) -> (S, S), the luma's steepness."""
    luma = image @ LUMA
    return np.asarray(np.hypot(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)))
