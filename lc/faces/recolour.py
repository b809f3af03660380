"""Hair of another colour in a photo: the same strands, and some where black hair shows none."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lc.faces.canvases import Place
from lc.faces.fill import filled
from lc.faces.filters import LUMA, SIDE, blurred, enlarged, fade, guided
from lc.faces.masks import smooth_step
from lc.faces.matte import matted
from lc.faces.steering import Parts, Steering
from lc.faces.strands import strands
from lc.faces.tone import Transfer, to_lab, transfer

__all__ = ["recolour"]

_Floats: TypeAlias = npt.NDArray[np.float32]

_SURE = (0.4, 0.85)  # probabilities of a part at which a new colour is not laid on, and wholly
_CERTAIN = (0.9, 0.995)  # at which its colours are asked as well, and are not
_UNLIKE = 30.0  # in Lab, how far hair is from skin, or from what is behind, from which on colours tell them apart
_LIKE = (0.35, 0.7)  # parts of the way from a part's colour to another's, at which it looks like the other
_STRANDS = 0.65  # of the contrast that hair of a colour has, what strands make of it, where the photo's are too dark
_LIGHTER = 15.0  # L* by which hair is lightened from which on that matters in full


def recolour(place: Place, new: _Floats, old: _Floats, steering: Steering, parts: Parts) -> tuple[Transfer, _Floats]:
    """Another colour for the part of a photo that an edit recolours.

    Args:
        place: where.
        new, old: the edited crop and its reconstruction, (W, W, 3).
        steering, parts: what the edit may act on; it recolours something.

    Returns:
        The colour; and on the canvas, (S, S, 2), where it goes, in [0, 1], and the light of strands in L*.
    """
    assert steering.recolours is not None
    inside = parts.kept(steering.recolours)[place.reach : -place.reach, place.reach : -place.reach]
    moved = transfer(place.seen, new, old, inside, steering.colour)
    # Beyond the crop, where the edit was not decoded, the part is the photo's.
    part = steering.recolours
    there = place.found(steering.before, f"{part} matted", lambda: matted(parts.before[part], place.broad))
    where = enlarged(smooth_step(there, *_SURE), place.side).clip(0, 1)
    fine = guided(where[..., None], place.canvas @ LUMA, max(2, round(2.0 * place.side / SIDE)))
    where = fine[..., 0].clip(0, 1) * fade(place.side, place.around / 2)
    unsure = 1 - smooth_step(enlarged(parts.before[part], place.side), *_CERTAIN)
    like_other = np.maximum(_like_skin(place, moved, parts), _like_behind(place, moved, steering, parts))
    where = where * (1 - unsure * like_other)
    return moved, np.dstack([where, _strands(place, steering, moved)])


def _like_skin(place: Place, moved: Transfer, parts: Parts) -> _Floats:
    """How much more the canvas looks like the photo's skin than like what is lightened, (S, S) in [0, 1]: hair's soft
    edges on a forehead would be pale."""
    sure = parts.before["skin"] > 0.9
    if not sure.any():
        return np.zeros((place.side, place.side), np.float32)
    skin = np.median(to_lab(place.broad)[sure], axis=0)
    if moved.target[0] <= moved.source[0] or np.linalg.norm(skin - moved.source) < _UNLIKE:
        return np.zeros((place.side, place.side), np.float32)
    lab = to_lab(place.smooth)
    to_skin, to_part = (np.linalg.norm(lab - colour, axis=2) for colour in (skin, moved.source))
    return smooth_step(to_part / (to_part + to_skin + 1e-3), *_LIKE)


def _like_behind(place: Place, moved: Transfer, steering: Steering, parts: Parts) -> _Floats:
    """The same of what is behind: a wall that is taken for hair would get a tint."""
    known = parts.before["background"] > 0.9
    if not known.any():
        return np.zeros((place.side, place.side), np.float32)
    behind = to_lab(enlarged(place.found(steering.before, "behind", lambda: filled(place.broad, known)), place.side))
    lab = to_lab(place.smooth)
    to_part, to_behind = (np.linalg.norm(lab - colour, axis=2) for colour in (moved.source, behind))
    apart = smooth_step(np.linalg.norm(behind - moved.source, axis=2), 0.8 * _UNLIKE, 1.2 * _UNLIKE)
    return apart * smooth_step(to_part / (to_part + to_behind + 1e-3), *_LIKE)


def _strands(place: Place, steering: Steering, moved: Transfer) -> _Floats:
    """The light of strands, in L*, (S, S), where a lighter colour would find none of its own to show."""
    wanted = _STRANDS * (steering.colour.contrast if steering.colour else 0.0)
    lighter = float(moved.target[0] - moved.source[0])
    if lighter <= 0 or not wanted:
        return np.zeros((place.side, place.side), np.float32)
    drawn = place.found(steering.before, "strands", lambda: strands(place.canvas, place.fine))
    light = to_lab(place.smooth)[..., 0]
    sigma = 2 * place.fine
    own = moved.gain * np.sqrt(blurred(np.square(light - blurred(light, sigma)), sigma))
    return np.asarray(min(lighter / _LIGHTER, 1.0) * wanted * (1 - own / wanted).clip(0, 1) * drawn, dtype=np.float32)
