"""Colours in CIELAB: a part of a photo takes on another colour and stays what it is, strand by strand; and a photo of
one tint, grey or sepia, keeps it whatever is put into it.

Pictures are floats of 0..255, RGB; L* is in 0..100, a* and b* are centred on 0.

    >>> grey = np.full((4, 4, 3), 128, np.float32)
    >>> [round(float(value)) for value in to_lab(grey)[0, 0]]
    [54, 0, 0]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from lc.colour import Colour

__all__ = ["Tint", "Transfer", "bounded", "tint_of", "to_lab", "to_rgb", "transfer"]

_Floats: TypeAlias = npt.NDArray[np.float32]

_GAIN = (0.6, 2.0)  # how far a part's own contrast may shrink or grow
_GRAIN_GAIN = 1.15  # noise and JPEG blocks of dark hair must not grow with it
_CHROMA_GAIN = 0.6  # of what strands differ by in colour: they take on the new one
_FURTHER = (1.15, 1.07, 1.07)  # how far to go, in parts of the way: less than all comes out at the edges of hair
# In L*: what is light hair, how much lighter it gets at least, for that to be seen where it is light already, and up to
# where.
_LIGHT, _LIGHTER, _LIGHTEST = 40.0, 16.0, 68.0
_SHINE = 15.0  # L* above a part's own over which its contrast gives way to the room that there is up to white
_MONOCHROME = (2.0, 5.0)  # a* and b* differ from a curve of L* by so much: one tint, a colour photo


@dataclass(frozen=True, eq=False)
class Transfer:
    """From a part's own colours to new ones: shift of the mean, gain of the contrast.

    Attributes:
        source, target: (3,) L*, a*, b*.
        gain: of L* about its mean.
    """

    source: _Floats
    target: _Floats
    gain: float

    def apply(
        self, rgb: _Floats, smooth: _Floats, light: _Floats | float = 0.0, mixed: _Floats | float = 0.0
    ) -> _Floats:
        """(h, w, 3) -> the same, recoloured.

        Args:
            rgb: the picture.
            smooth: it without its grain.
            light: what is added to L*, (h, w, 1).
            mixed: how far the part is mixed with others, (h, w, 1) in [0, 1]: what is to be laid on in part of such a
                pixel is the difference of the two colours alone. The part's contrast is not that of the others.
        """
        lab, base = to_lab(rgb), to_lab(smooth)
        away, grain = base - self.source, lab - base
        # What loses its colour loses what of it differs, too: whitish lights of fair hair would turn black hair blue.
        left = float(np.hypot(*self.target[1:]) / max(np.hypot(*self.source[1:]), 1e-3))
        chroma = _CHROMA_GAIN * min(left, 1.0)
        gain = np.array([self.gain, chroma, chroma], np.float32)
        own = away[..., :1]
        # Highlights go on to white and shadows to black where the middle gets lighter; those of light hair would turn
        # dark hair grey.
        lighter = self.target[0] > self.source[0]
        above = (100 - self.target[0]) / max(100 - self.source[0], 1) if lighter else 0.0
        room = np.where(own > 0, above, self.target[0] / max(self.source[0], 1))
        most = np.maximum(room, self.gain)
        if lighter:  # what shines through strands would be white
            most = most + (1 - np.exp(-own.clip(0) / _SHINE)) * (room - most)
        away = away * gain
        away[..., :1] = light + own * np.clip(most, *_GAIN)
        moved = self.target + away + grain * min(self.gain, _GRAIN_GAIN)
        whole = to_rgb(moved)
        source, target = to_rgb(np.stack([self.source, self.target])[None])[0]
        return whole + mixed * (rgb + target - source - whole)


def bounded(rgb: _Floats, axis: int, most: _Floats) -> _Floats:
    """A picture (H, W, 3) whose a* (`axis` 1) or b* (2) is nowhere more than `most`, (H, W); elsewhere to the bit."""
    lab = to_lab(rgb)
    more = lab[..., axis] > most
    lab[..., axis] = np.minimum(lab[..., axis], most)
    return np.where(more[..., None], to_rgb(lab), rgb)


def transfer(
    photo: _Floats, edited: _Floats, reconstruction: _Floats, weight: _Floats, colour: Colour | None
) -> Transfer:
    """How a part of the photo changes colour when the model's does.

    Args:
        photo, edited, reconstruction: (S, S, 3).
        weight: (S, S) in [0, 1], where the part is in all three.
        colour: what it is to become, where that is known: the model's colour is brought into its range.
    """
    before, after, own = (_statistics(to_lab(picture), weight) for picture in (reconstruction, edited, photo))
    target = own[0] + after[0] - before[0]
    gain = after[1] / max(before[1], 1.0)
    if colour is not None:
        target = np.array(colour.nearest(target.tolist()), np.float32)
        target = own[0] + np.array(_FURTHER, np.float32) * (target - own[0])
        target[0] = max(target[0], 1.0)
        if colour.mean[0] > _LIGHT:
            target *= max(1.0, min(own[0][0] + _LIGHTER, _LIGHTEST) / target[0])
        gain = colour.contrast / max(own[1], 1.0)
    return Transfer(own[0], target, float(np.clip(gain, *_GAIN)))


def _statistics(lab: _Floats, weight: _Floats) -> tuple[_Floats, float]:
    """The median (3,), and the weighted standard deviation of L*: a few lights make dark hair no lighter."""
    total = float(weight.sum()) + 1e-6
    mean = float((lab[..., 0] * weight).sum()) / total
    variance = float((np.square(lab[..., 0] - mean) * weight).sum()) / total
    sure = weight >= 0.5 * weight.max()
    return np.median(lab[sure], axis=0).astype(np.float32), variance**0.5


@dataclass(frozen=True, eq=False)
class Tint:
    """The tint of a photo that has one only: its chroma as a curve of its light.

    Attributes:
        curve: (3, 2), coefficients of a* and b* in L* / 100, highest power first.
        part: how much of a change's own chroma gives way to it, in [0, 1]; 0 for a colour photo.
        seen: the least and most light that it was fitted to; beyond, the curve's ends go on level.
    """

    curve: _Floats
    part: float
    seen: tuple[float, float]

    def apply(self, rgb: _Floats, where: _Floats) -> _Floats:
        """(h, w, 3) in the photo's tint where `where`, (h, w, 1) in [0, 1], says so."""
        lab = to_lab(rgb)
        light = lab[..., :1].clip(*self.seen) / 100
        chroma = (self.curve[0] * light + self.curve[1]) * light + self.curve[2]
        lab[..., 1:] += self.part * where * (chroma - lab[..., 1:])
        return to_rgb(lab)


def tint_of(rgb: _Floats) -> Tint:
    """Fit a photo's chroma by a curve of its light; (S, S, 3)."""
    lab = to_lab(rgb).reshape(-1, 3)[::3]
    light = lab[:, 0] / 100
    powers = np.stack([light * light, light, np.ones_like(light)], 1)
    curve, *_ = np.linalg.lstsq(powers, lab[:, 1:], rcond=None)
    left = float(np.sqrt(np.square(lab[:, 1:] - powers @ curve).sum(1).mean()))
    low, high = _MONOCHROME
    seen = float(lab[:, 0].min()), float(lab[:, 0].max())
    return Tint(np.asarray(curve, dtype=np.float32), float(np.clip((high - left) / (high - low), 0, 1)), seen)


def to_lab(rgb: _Floats) -> _Floats:
    """(h, w, 3) of 0..255 -> L*, a*, b*."""
    return np.asarray(cv2.cvtColor((rgb / 255).clip(0, 1).astype(np.float32), cv2.COLOR_RGB2LAB), dtype=np.float32)


def to_rgb(lab: _Floats) -> _Floats:
    """(h, w, 3), L*, a*, b* -> 0..255, clipped."""
    rgb = cv2.cvtColor(np.ascontiguousarray(lab, dtype=np.float32), cv2.COLOR_LAB2RGB)
    return np.asarray(rgb.clip(0, 1) * 255, dtype=np.float32)
