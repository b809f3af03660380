"""Counterfactual pictures: the same person with another's glasses or hat.

Pictures are aligned crops, (S, S, 3) float32 in 0..255; maps are what `lc.parser` finds in them, (C, S, S) in [0, 1].
What is laid on takes the skin tone and the light of whom it is laid onto: means and deviations of the skin in L*a*b*
(Reinhard et al. 2001).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from lc.faces.fill import filled
from lc.faces.masks import soft
from lc.faces.tone import to_lab, to_rgb

__all__ = ["COMPOSITES", "Face", "glasses", "hat", "turned"]

Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Face:
    """A crop and its maps by class.

    Attributes:
        rgb: (S, S, 3) of 0..255.
        maps: (S, S) in [0, 1].
        inner: the part of the side that is the model's crop; the rest is a margin.
        turn: sine of the head's turn to the picture's right, see `lc.faces.align.turn_of`; None where only the skin
            tells.
        detail: pixels of the photo to one of the crop's; what is drawn finer does not show.
    """

    rgb: Floats
    maps: Mapping[str, Floats]
    inner: float = 1.0
    turn: float | None = None
    detail: float = math.inf

    @property
    def shown(self) -> npt.NDArray[np.bool_]:
        """Where anything is found: past a photo's border there is no background, (S, S)."""
        return self.sure(*self.maps)

    def row(self, part: float) -> int:
        """The row at a part of the model's crop."""
        side = self.rgb.shape[0]
        return round(side * ((1 - self.inner) / 2 + self.inner * part))

    def sure(self, *names: str) -> npt.NDArray[np.bool_]:
        """Where one of these classes is more probable than not."""
        return np.asarray(sum(self.maps[name] for name in names) > 0.5)


def turned(face: Face) -> float:
    """How far a head is turned: the skin's centre from the middle, in parts of the crop."""
    skin = face.sure("skin")
    return float(np.nonzero(skin)[1].mean() / skin.shape[0] - 0.5) if skin.any() else 1.0


def _toned(donor: Face, onto: Face) -> Floats:
    """The donor's picture in the other's skin tone."""
    lab, wanted = to_lab(donor.rgb), to_lab(onto.rgb)
    skins = [face.sure("skin") for face in (donor, onto)]
    if min(skin.sum() for skin in skins) < 50:
        return donor.rgb
    (mean, deviation), (new_mean, new_deviation) = (
        (values[skin].mean(0), values[skin].std(0) + 1.0) for values, skin in zip((lab, wanted), skins, strict=True)
    )
    gain = (new_deviation / deviation).clip(0.7, 1.4)
    return to_rgb((lab - mean) * gain + new_mean)


def _without(face: Face, gone: npt.NDArray[np.bool_]) -> Floats:
    """The picture with what is around carried on over `gone`, but for skin and what is on it."""
    person = face.sure("skin", "hair", "hat", "glasses", "mouth", "brows", "eyes")
    unknown = cv2.dilate((gone | person).astype(np.uint8), np.ones((5, 5), np.uint8))
    return filled(face.rgb, unknown == 0)


def glasses(donor: Face, onto: Face) -> Floats | None:
    """The donor's glasses; None where they cannot be laid on. Through clear lenses the other's eyes are seen."""
    cut = donor.maps["glasses"]
    worn = cut > 0.5
    if worn.sum() < 100 or onto.sure("glasses").sum() > 10:
        return None
    toned = _toned(donor, onto)
    skin = float(np.median(to_lab(toned)[donor.sure("skin")][:, 0]))
    clear = float(np.median(to_lab(toned)[worn][:, 0])) > 0.7 * skin
    laid = np.minimum(toned, onto.rgb) if clear else toned
    cover = soft(cut, 0.6)[..., None]
    return np.asarray(onto.rgb + cover * (laid - onto.rgb))


def hat(donor: Face, onto: Face) -> Floats | None:
    """The donor's hat; hair that would stand out over it gives way to what is behind."""
    worn = donor.sure("hat")
    if worn.sum() < 0.06 * worn.size or onto.sure("hat").sum() > 20:
        return None
    side = worn.shape[0]
    rows = np.where(worn, np.arange(side)[:, None], -1).max(0)  # the lowest of each column
    columns = np.flatnonzero(rows >= 0)
    brim = np.interp(np.arange(side), columns, rows[columns])
    above = (np.arange(side)[:, None] <= brim) & ~worn
    hair = onto.sure("hair", "skin", "hat", "brows") & above
    behind = _without(onto, hair)
    result = onto.rgb + soft(hair, 1.0)[..., None] * (behind - onto.rgb)
    light = _light(onto) / _light(donor)
    cover = soft(donor.maps["hat"], 0.8)[..., None]
    return np.asarray(result + cover * ((donor.rgb * light).clip(0, 255) - result))


def _light(face: Face) -> float:
    """How bright the skin is, between dark and light skin as much as between dark and light pictures: its root."""
    skin = face.sure("skin")
    return float(np.sqrt(face.rgb[skin].mean() + 10)) if skin.any() else 11.0


#: Whole pictures, of which pairs are made.
COMPOSITES: dict[str, Callable[[Face, Face], Floats | None]] = {"glasses": glasses, "hat": hat}
