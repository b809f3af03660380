"""The lines of a face: the photo's own, made deeper or fainter, as age does.

A generator of few pixels draws an older face with shadows where there should be lines. The lines are in the photo: what
is darker than the skin about it over less than a twentieth of the face.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from lc.faces.canvases import Place
from lc.faces.filters import LUMA, blurred, enlarged, resized
from lc.faces.masks import smooth_step
from lc.faces.steering import Parts

__all__ = ["creased"]

_Floats: TypeAlias = npt.NDArray[np.float32]

_FINEST, _WIDEST = 0.25, 2.25  # deviations between whose blurs a line shows, in crop pixels: grain and cheeks do not
# Parts of the skin's light: what is darker or lighter than its surroundings by more is no line; and how much of a line
# counts where it goes deeper, for shadows would look like dirt.
_DEEPEST, _COUNTS = 0.1, 0.05
_RIDGES = 0.35  # of what lines gain, what the skin between them does: more of it shines
_INSIDE = 1.0  # crop pixels from the skin's border on which there are lines: brows and nostrils have edges
_DARK = 12.0  # grey levels below which parts of the light say nothing


def creased(place: Place, canvas: _Floats, amount: float, parts: Parts) -> _Floats:
    """What makes lines deeper or fainter.

    Args:
        place: where.
        canvas: (S, S, 3), what is there.
        amount: 1: lines are twice as deep; -1: there are none.
        parts: where the skin is, and what of it stays as it is.

    Returns:
        (S, S, 3), to add to the canvas.
    """
    light = resized(canvas @ LUMA, len(place.broad))
    skin = np.asarray(parts.before["skin"] > 0.5, dtype=np.float32)
    sigma = _WIDEST * place.unit
    about = enlarged(blurred(light * skin, sigma) / (blurred(skin, sigma) + 1e-3), place.side)
    fine = blurred(canvas @ LUMA, max(_FINEST * place.fine, 0.1))
    depth = ((fine - about) / np.maximum(about, _DARK)).clip(-_DEEPEST, _DEEPEST)
    if amount > 0:
        depth = depth.clip(-_COUNTS, _COUNTS)
        depth = np.where(depth < 0, depth, _RIDGES * depth)
    radius = max(1, round(_INSIDE * place.unit))
    sure = smooth_step(parts.before["skin"], 0.5, 0.8)
    inside = np.asarray(cv2.erode(sure, np.ones((2 * radius + 1,) * 2, np.uint8)), dtype=np.float32)
    where = enlarged(blurred(inside, place.unit) * parts.free, place.side).clip(0, 1)
    return np.asarray((amount * where * depth)[..., None] * canvas, dtype=np.float32)
