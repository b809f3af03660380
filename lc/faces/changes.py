"""What an edit changes of a photo, and where: what of the generator's picture goes into it.

Where the edit replaces matter (a closed mouth for teeth, skin for a beard) the photo is to be covered; elsewhere the
change is a shift of tones. Masks of the photo and the edit keep both to the parts that the edit may act on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from lc.faces.canvases import Place
from lc.faces.fill import filled
from lc.faces.filters import LUMA, SIDE, blurred, boxed, continued, largest_of, spread
from lc.faces.masks import box_of, smooth_step
from lc.faces.steering import WORN, Parts, Steering, of_face
from lc.faces.tone import to_lab, to_rgb

__all__ = ["Change", "Finish", "change_of", "finished", "grown_softly", "masks_of", "own_skin", "single", "steered"]

_Floats: TypeAlias = npt.NDArray[np.float32]

#: Makes what is put into a photo as sharp as that, and continues it, see `lc.upsampler.Upsampler.completed`.
Finish: TypeAlias = Callable[[_Floats, _Floats, _Floats], _Floats]

_CUT = {"hair", "hat"}  # parts that a crop cuts, and that an edit goes on in beyond it
# Strengths are in grey levels. All were set by eye on photos of LFW and the astronaut, but the first, which is low so
# that weak changes of hair are read: the model card's table of photos shows the trade.
_FAINT = (0.03, 0.18)  # changes below and above these parts of the strongest one are left out and kept whole
_LEAST = 16.0  # a strongest change below this counts as this: else an edit that does nearly nothing adds noise
_STRUCTURE = (11.0, 28.0)  # a change of local structure by this much replaces matter: not at all, wholly;
_RELATIVE = (0.2, 0.5)  # where the strongest changes more, these parts of it: an eye need not go with a mouth
_SHIFT = (60.0, 100.0)  # so does a change of tone by this much
_CHROMA = 3.0  # in Lab, how far skin may go from its own round about
_REDDER, _YELLOWER = 18.0, 6.0  # in a* and b*, how much lips may be, and teeth between them
_LEAST_SKIN = 50  # pixels from which on that is known
_MISSING = (0.05, 0.5)  # parts of matter at which the photo does not say, and is not asked, what is there
_SPOTS, _TEXTURE = 20.0, 8.0  # grey levels by which finishing may darken anything, and change skin


@dataclass(frozen=True, eq=False)
class Change:
    """What an edit changes, (W, W, ...): the difference, the model's face in the photo's light, where the edit is kept,
    and where it replaces matter."""

    shift: _Floats
    matter: _Floats
    kept: _Floats
    replaced: _Floats


def change_of(place: Place, new: _Floats, old: _Floats) -> Change:
    """What the edit changes in the crop, and beyond it."""
    reach = place.reach
    kept, replaced = masks_of(new, old, new.shape[0] / SIDE)
    # The model's face, in the photo's light: less of what it reconstructs too dark or too blue round about.
    matter = new + spread(place.seen - old, 1 - replaced)
    # Past the crop, everything goes on as on its border.
    return Change(*(continued(values, reach) for values in (new - old, matter, kept, replaced)))


def finished(place: Place, change: Change, finish: Finish | None, skin: _Floats | None = None) -> Change:
    """A change whose matter was looked over with the photo around it. On `skin` that adds texture, and no spots."""
    reach = place.reach
    inside = slice(reach, -reach or None)
    shift, matter, kept, replaced = (
        values[inside, inside] for values in (change.shift, change.matter, change.kept, change.replaced)
    )
    missing = smooth_step(replaced, *_MISSING)
    if finish is None or missing.max() < 0.5:
        return change
    around = place.seen + (kept * (1 - replaced))[..., None] * shift
    added = finish(matter, around, missing) - matter
    if skin is not None:  # where corners of a mouth may lie it draws several, as dark spots
        added = added.clip(-_SPOTS, None)
        added += skin[inside, inside][..., None] * (added.clip(-_TEXTURE, _TEXTURE) - added)
    looked_over = matter + missing[..., None] * added
    return replace(change, matter=continued(looked_over, reach))


def steered(place: Place, change: Change, steering: Steering, parts: Parts, finish: Finish | None) -> Change:
    """A change, kept to the parts that it may act on."""
    # Beyond the crop, matter would be its last rows and columns, over and over; and nothing but hair is cut there.
    near = np.pad(np.ones((place.width, place.width), np.float32), place.reach)
    near = smooth_step(blurred(near, 2 * place.unit), 0.0, 0.5)
    kept, replaced = change.kept, change.replaced * (0 if steering.own_structure else near)
    if not _CUT & set(steering.acts_on):
        kept = kept * near
    redrawn = set(steering.acts_on) - {steering.recolours}
    kept = kept * parts.allowed(redrawn)
    worn = grown_softly(parts.exchanged([name for name in WORN if name in steering.acts_on]), place.unit)
    kept, replaced = np.maximum(kept, worn), np.maximum(replaced, worn)
    # A beard has a chroma and strands that skin and hair have not.
    beard = steering.begins > 0 and "hair" in redrawn
    if of_face(steering.acts_on) and not beard:
        change = _own_chroma(place, change, parts)
        if "hair" in steering.classes:  # what stays keeps its strands: the generator's are blots
            replaced = replaced * (1 - parts.kept("hair"))
    if parts.own.any():
        change, replaced = replace(change, shift=_own_lips(place, change.shift, parts.own)), replaced * (1 - parts.own)
        if steering.bearded and not steering.own_structure:  # a generator thins beards that nobody spoke of
            kept = kept * (1 - parts.own)
    seen_through = 1 - grown_softly(parts.seen_through, 0.7 * place.unit)
    kept, replaced = kept * seen_through, replaced * seen_through
    if steering.recolours is not None:
        kept = kept * (1 - parts.kept(steering.recolours))
    change = finished(
        place, Change(change.shift, change.matter, single(kept), single(replaced)), finish, parts.after["skin"]
    )
    return replace(change, matter=_on_background(place, change.matter, steering, parts))


def _own_chroma(place: Place, change: Change, parts: Parts) -> Change:
    """A change that leaves skin the chroma that the photo's own has round about: a face may go pale or be shaved, but
    blots of red and blue are the generator's."""
    sure = parts.before["skin"] > 0.9
    if sure.sum() < _LEAST_SKIN:
        return change
    own = spread(to_lab(place.broad), sure.astype(np.float32))[..., 1:]
    box = box_of(parts.skin > 0)
    skin = parts.skin[box]
    low, high = own[box] - _CHROMA, own[box] + _CHROMA

    def held(rgb: _Floats) -> _Floats:
        rgb = rgb.clip(0, 255)
        found = to_lab(rgb[box])
        for axis in range(2):  # one at a time: NumPy takes three times as long for both
            chroma = found[..., 1 + axis]
            chroma += skin * (chroma.clip(low[..., axis], high[..., axis]) - chroma)
        rgb[box] = to_rgb(found)
        return rgb

    shift = held(place.broad + change.shift) - held(place.broad)
    return replace(change, shift=single(shift), matter=held(change.matter))


def _own_lips(place: Place, shift: _Floats, own: _Floats) -> _Floats:
    """A shift that makes no lips redder than lipstick does, where they are the photo's `own`."""
    before, after = to_lab(place.broad), to_lab((place.broad + shift).clip(0, 255))
    for axis, most in ((1, _REDDER), (2, _YELLOWER)):
        after[..., axis] -= own * (after[..., axis] - before[..., axis] - most).clip(0, None)
    return single(shift + to_rgb(after) - (place.broad + shift).clip(0, 255))


def own_skin(new: _Floats, old: _Floats, skin: _Floats) -> _Floats:
    """The edited crop with the skin tone of its reconstruction: what moves most of the skin alike moves none of it."""
    sure = skin > 0.5
    if not sure.any():
        return new
    return np.asarray(new - skin[..., None] * np.median((new - old)[sure], axis=0))


def grown_softly(mask: _Floats, unit: float) -> _Floats:
    """A mask in [0, 1], made sure of and a little wider, with soft edges."""
    wide = cv2.dilate(smooth_step(mask, 0.2, 0.6), np.ones((2 * round(unit) + 1,) * 2, np.uint8))
    return blurred(np.asarray(wide, dtype=np.float32), 0.6 * unit)


def _on_background(place: Place, matter: _Floats, steering: Steering, parts: Parts) -> _Floats:
    """What the edit uncovers is the photo's own background, carried on from around it."""
    uncovered = parts.uncovered
    if uncovered.max() < 0.5 or parts.background.max() < 0.5:
        return matter
    behind = place.found(steering.before, "behind", lambda: filled(place.broad, parts.background > 0.9))
    return np.asarray(matter + uncovered[..., None] * (behind - matter), dtype=np.float32)


def masks_of(new: _Floats, old: _Floats, unit: float) -> tuple[_Floats, _Floats]:
    """Where a change from `old` to `new` is kept, and where it replaces matter.

    Args:
        new, old: (H, W, 3) in 0..255.
        unit: pixels, of which an aligned crop's side has 64.

    Returns:
        (H, W) in [0, 1] twice.
    """
    near = max(1, round(3 * unit))
    strength = largest_of(np.abs(new - old))
    broad = blurred(strength, 1.5 * unit)
    strongest = max(float(np.percentile(broad, 98)), _LEAST)
    kept = smooth_step(broad, _FAINT[0] * strongest, _FAINT[1] * strongest)
    # The local gain by which the edit scales what contrast there is: lighter hair has more of it, and stays hair.
    old_luma, new_luma = old @ LUMA, new @ LUMA
    mean = boxed(old_luma, near)
    variance = boxed(old_luma * old_luma, near) - mean * mean
    covariance = boxed(old_luma * new_luma, near) - mean * boxed(new_luma, near)
    gain = ((covariance + 36) / (variance + 36)).clip(0.3, 2)
    # What the gain does not explain has come or gone.
    unexplained = (new - blurred(new, 3 * unit)) - gain[..., None] * (old - blurred(old, 3 * unit))
    structure = blurred(largest_of(np.abs(unexplained)), unit)
    most = float(np.percentile(structure, 99))
    low, high = (max(level, part * most) for level, part in zip(_STRUCTURE, _RELATIVE, strict=True))
    replaced = np.maximum(smooth_step(structure, low, high), smooth_step(blurred(strength, unit), *_SHIFT))
    # Wider, so that the seam lies beside what was replaced and not on its edge.
    kernel = np.ones((2 * round(unit) + 1,) * 2, np.uint8)
    replaced = blurred(np.asarray(cv2.dilate(replaced, kernel), dtype=np.float32), 0.8 * unit)
    return kept, np.asarray(replaced * kept)


def single(values: npt.NDArray[np.floating]) -> _Floats:
    return np.asarray(values, dtype=np.float32)
