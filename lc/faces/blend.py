"""Bring an edited crop back into the photo it came from, at the photo's own resolution.

Where the model shifts tones (skin, hair colour), its change is added to the photo, which keeps its own texture. Where
it replaces matter (a closed mouth for teeth, skin for a beard), an added change would let the old shine through: there
the photo is cross-faded into the model's face, which is made as sharp and as grainy as the photo around it.

Pictures are floats of 0..255 here. The work is done on a canvas that shows the aligned crop at about the photo's
resolution; of the photo itself, only the pixels under the crop are touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lc.faces.align import Aligned, Array
from lc.faces.canvases import Place, covered, sampled, to_canvas
from lc.faces.creases import creased
from lc.faces.fill import filled
from lc.faces.filters import (
    LUMA,
    SIDE,
    as_sharp,
    blurred,
    boxed,
    clipped,
    crisp,
    enlarged,
    fade,
    guided,
    resized,
    softened,
    softness,
    spread,
)
from lc.faces.masks import smooth_step
from lc.faces.recolour import recolour
from lc.faces.steering import MARGIN, WORN, Parts, Steering, of_face
from lc.faces.tone import Tint, Transfer, tint_of, to_lab, to_rgb
from lc.memory import Kept

__all__ = ["REACH", "Finish", "paste"]

#: How far a change may reach past the crop, which cuts most heads of hair: it is carried on from the crop's border, and
#: fades out over this.
REACH = 10 / SIDE

_CUT = {"hair", "hat"}  # parts that a crop cuts, and that an edit goes on in beyond it

_FINEST = 8 * SIDE  # the crop becomes at most so many canvas pixels wide; between those, a straight line is as good
_STRIP = 256  # rows of the photo in work at a time, to bound the memory that a large face takes

# Strengths are in grey levels. All were set by eye on photos of LFW and the astronaut, but the first, which is low so
# that weak changes of hair are read: the model card's table of photos shows the trade.
_FAINT = (0.03, 0.18)  # changes below and above these parts of the strongest one are left out and kept whole
_LEAST = 16.0  # a strongest change below this counts as this: else an edit that does nearly nothing adds noise
_STRUCTURE = (11.0, 28.0)  # a change of local structure by this much replaces matter: not at all, wholly;
_RELATIVE = (0.2, 0.5)  # where the strongest changes more, these parts of it: an eye need not go with a mouth
_SHIFT = (60.0, 100.0)  # so does a change of tone by this much
_FEATHER = 0.15  # part of the crop's side over which a whole crop fades in from each border
_DARK = 6.0  # grey levels at which light is too little to be compared
_SHADE = (0.06, 0.2)  # parts of the light that are lost by chance, and for sure
_EDGED = 2.5  # sharpening of what is laid over a face: frames have edges
_CHROMA = 2.0  # in Lab, how far skin may go beyond four fifths of its own
_LEAST_SKIN = 50  # pixels from which on that is known
_MISSING = (0.05, 0.5)  # parts of matter at which the photo does not say, and is not asked, what is there
_SPOTS, _TEXTURE = 20.0, 8.0  # grey levels by which finishing may darken anything, and change skin
_NEAR = 8  # pixels around what is touched that are looked at: as far as the grain's blur reaches
_DEEPER = 1.4  # power of the light that is left: frames of a few pixels come out too faint

_Floats: TypeAlias = npt.NDArray[np.float32]
_Bytes: TypeAlias = npt.NDArray[np.uint8]

#: Makes what is put into a photo as sharp as that, and continues it, see `lc.upsampler.Upsampler.completed`.
Finish: TypeAlias = Callable[[_Floats, _Floats, _Floats], _Floats]

# Of the photos used last, what they show under the crop: at most 2 MB each.
_CANVASES: Kept[_Bytes] = Kept(8)


def paste(
    rgb: Image.Image,
    edited: Image.Image,
    aligned: Aligned,
    reconstruction: Image.Image | None = None,
    steering: Steering | None = None,
    finish: Finish | None = None,
) -> Image.Image:
    """Put an edited crop into the photo.

    With a reconstruction, only what the edit changed is carried over, as the module's docstring says; an edit equal
    to its reconstruction gives back the photo, bit for bit, and so does any edit further than `REACH` of the crop's
    side outside its square, `MARGIN` with steering. Without a reconstruction, the crop itself is put in, blurred as it
    is, and nothing outside its square changes.

    Args:
        rgb: the photo, mode RGB.
        edited: the model's output for `aligned.crop`, mode RGB, at any size.
        aligned: what `align` or `frame_crop` gave for this photo.
        reconstruction: the model's output for the unedited latent, at the same size.
        steering: where the edit may act; None: wherever the crop changed.
        finish: looks over what replaces the photo's matter, at the crop's size.

    Returns:
        A new image, mode RGB, of the photo's size.
    """
    result, matrix = rgb.copy(), aligned.matrix.copy()
    new = np.asarray(edited, dtype=np.float32)
    width = new.shape[0]
    matrix[:, :2] *= aligned.crop.width / width
    zoom = max(0.125 * SIDE, min(aligned.scale * aligned.crop.width, _FINEST)) / width
    if reconstruction is not None:
        old = np.asarray(reconstruction, dtype=np.float32)
        if np.array_equal(new, old) and not (steering and steering.laid):
            return result
        reach = round((REACH if steering is None else MARGIN) * width)
        matrix[:, 2] -= reach * matrix[:, :2].sum(1)
        width += 2 * reach
    left, top, right, bottom = covered(matrix, width, rgb.size)
    if left >= right or top >= bottom:
        return result
    side = round(width * zoom)
    if reconstruction is not None:
        canvas = _CANVASES.get((rgb, aligned), (width, side), lambda: sampled(rgb, matrix, width, side))
        place = Place.of((rgb, aligned), canvas.astype(np.float32), new.shape[0], reach)
        layers = _layers(place, new, old, steering, finish)
    else:
        cover = fade(side, _FEATHER)[..., None]
        layers = _Layers(enlarged(new, side) * cover, cover)
    for start in range(top, bottom, _STRIP):
        box = (left, start, right, min(bottom, start + _STRIP))
        strip = _composed(np.array(rgb.crop(box)), layers, to_canvas(matrix, side / width, box))
        result.paste(Image.fromarray(strip), box)
    return result


@dataclass(frozen=True, eq=False)
class _Layers:
    """What goes onto the photo.

    Attributes:
        added: (S, S, 3), the colour to add.
        cover: (S, S, 1), the part of the photo that it covers.
        smooth: (S, S, 3), the photo without its grain, which what is covered keeps; None: it does not.
        transfer: another colour for a part of the photo; where, and the light of strands that are put into it, in L*,
            (S, S, 2).
        tint: of a photo that has one only.
        grain: whether what is covered keeps the photo's grain.
    """

    added: _Floats
    cover: _Floats
    smooth: _Floats | None = None
    transfer: tuple[Transfer, _Floats] | None = None
    tint: Tint | None = None
    grain: bool = True


@dataclass(frozen=True, eq=False)
class _Change:
    """What an edit changes, (W, W, ...): the difference, the model's face in the photo's light, where the edit is kept,
    and where it replaces matter."""

    shift: _Floats
    matter: _Floats
    kept: _Floats
    replaced: _Floats


def _layers(
    place: Place, new: _Floats, old: _Floats, steering: Steering | None, finish: Finish | None = None
) -> _Layers:
    """How to put the change from `old` to `new` onto the photo.

    Args:
        place: where.
        new, old: the edited crop and its reconstruction.
        steering, finish: see `paste`.
    """
    if steering is None:
        return _blended(place, _finished(place, _change(place, new, old), finish))
    reach, none = place.reach, np.zeros_like(place.canvas)
    if steering.alone and not steering.shades:
        return _laid_on(_Layers(none, none[..., :1], place.smooth, tint=tint_of(place.seen)), steering, place)
    parts = steering.found(place.width, reach)
    new = _own_skin(new, old, parts.skin[reach:-reach, reach:-reach])
    change = _steered(place, _change(place, new, old), steering, parts, finish)
    shade = over = None
    if steering.shades:
        shade = _shade(new, old, place.side, reach)
        if steering.alone:
            cover = _single(_mask(place, change) * (1 - shade))
            return _laid_on(_Layers(none, cover, place.smooth, tint=tint_of(place.seen)), steering, place)
        over = enlarged(_grown(parts.after[steering.shades], 2 * place.unit), place.side).clip(0, 1)[..., None]
    blended = _blended(place, change, over)
    if shade is not None and over is not None:
        shade = 1 - over * (1 - shade)
        cover = _single(1 - shade * (1 - blended.cover))
        blended = replace(blended, added=_single(shade * blended.added), cover=cover)
    if steering.creases:
        composed = blended.added + (1 - blended.cover) * place.canvas
        lines = creased(place, composed, steering.creases, parts)
        blended = replace(blended, added=_single(blended.added + lines))
    recoloured = None
    if steering.recolours is not None:
        recoloured = recolour(place, new, old, steering, parts)
    return _laid_on(replace(blended, transfer=recoloured, tint=tint_of(place.seen)), steering, place)


def _change(place: Place, new: _Floats, old: _Floats) -> _Change:
    """What the edit changes in the crop, and beyond it."""
    reach = place.reach
    kept, replaced = _masks(new, old)
    # The model's face, in the photo's light: less of what it reconstructs too dark or too blue round about.
    matter = new + spread(place.seen - old, 1 - replaced)
    # Past the crop, everything goes on as on its border.
    return _Change(
        *(
            np.pad(values, [(reach, reach)] * 2 + [(0, 0)] * (values.ndim - 2), mode="edge")
            for values in (new - old, matter, kept, replaced)
        )
    )


def _finished(place: Place, change: _Change, finish: Finish | None, skin: _Floats | None = None) -> _Change:
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
    return replace(change, matter=np.pad(looked_over, [(reach, reach)] * 2 + [(0, 0)], mode="edge"))


def _steered(place: Place, change: _Change, steering: Steering, parts: Parts, finish: Finish | None) -> _Change:
    """A change, kept to the parts that it may act on."""
    # Beyond the crop, matter would be its last rows and columns, over and over; and nothing but hair is cut there.
    near = np.pad(np.ones((place.width, place.width), np.float32), place.reach)
    near = smooth_step(blurred(near, 2 * place.unit), 0.0, 0.5)
    kept, replaced = change.kept, change.replaced * near
    if not _CUT & set(steering.acts_on):
        kept = kept * near
    kept = kept * parts.allowed(set(steering.acts_on) - {steering.recolours})
    worn = _grown(parts.exchanged([name for name in WORN if name in steering.acts_on]), place.unit)
    kept, replaced = np.maximum(kept, worn), np.maximum(replaced, worn)
    # A beard has a chroma and strands that skin and hair have not.
    beard = steering.begins > 0 and "hair" in steering.acts_on
    if of_face(steering.acts_on) and not beard:
        change = _own_chroma(place, change, parts)
        if "hair" in steering.classes:  # what stays keeps its strands: the generator's are blots
            replaced = replaced * (1 - parts.kept("hair"))
    seen_through = 1 - _grown(parts.seen_through, 0.7 * place.unit)
    kept, replaced = kept * seen_through, replaced * seen_through
    if steering.recolours is not None:
        kept = kept * (1 - parts.kept(steering.recolours))
    change = _finished(
        place, _Change(change.shift, change.matter, _single(kept), _single(replaced)), finish, parts.after["skin"]
    )
    return replace(change, matter=_on_background(place, change.matter, steering, parts))


def _own_chroma(place: Place, change: _Change, parts: Parts) -> _Change:
    """A change that leaves skin within the chroma that the photo's own has: a face may go pale or be shaved, but blots
    of red and blue are the generator's."""
    sure = parts.before["skin"] > 0.9
    if sure.sum() < _LEAST_SKIN:
        return change
    lab = to_lab(place.broad)[sure][:, 1:]
    low, high = np.percentile(lab, 10, axis=0) - _CHROMA, np.percentile(lab, 90, axis=0) + _CHROMA
    box = _box(parts.skin > 0)
    skin = parts.skin[box][..., None]

    def held(rgb: _Floats) -> _Floats:
        rgb = rgb.clip(0, 255)
        found = to_lab(rgb[box])
        found[..., 1:] += skin * (found[..., 1:].clip(low, high) - found[..., 1:])
        rgb[box] = to_rgb(found)
        return rgb

    shift = held(place.broad + change.shift) - held(place.broad)
    return replace(change, shift=_single(shift), matter=held(change.matter))


def _box(mask: npt.NDArray[np.bool_], around: int = 0) -> tuple[slice, slice]:
    """The rows and columns that hold all of a mask, and so many more on each side."""
    down, along = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(down):
        return slice(0, 0), slice(0, 0)
    rows, columns = (slice(max(0, int(one[0]) - around), int(one[-1]) + 1 + around) for one in (down, along))
    return rows, columns


def _mask(place: Place, change: _Change) -> _Floats:
    """Where an edit is kept, on the canvas, (S, S, 1)."""
    out = place.around + 2 * place.unit / (place.width + 2 * place.reach)
    return _single(enlarged(change.kept, place.side).clip(0, 1) * fade(place.side, out))[..., None]


def _blended(place: Place, change: _Change, over: _Floats | None = None) -> _Layers:
    """Shifts are added, matter is covered; not where something lies `over` it, (S, S, 1)."""
    mask = _mask(place, change)
    if over is not None:
        mask = mask * (1 - over)
    shift = guided(enlarged(change.shift, place.side), place.canvas @ LUMA, max(1, round(1.5 * place.fine)))
    cover = enlarged(change.replaced, place.side).clip(0, 1)[..., None]
    matter = as_sharp(change.matter, place.canvas, cover[..., 0])
    if soft := place.softness:
        matter = softened(matter, float(np.sqrt(max(0.0, soft**2 - softness(matter) ** 2))))
    return _Layers(_single(mask * ((1 - cover) * shift + cover * matter)), _single(mask * cover), place.smooth)


def _laid_on(layers: _Layers, steering: Steering, place: Place) -> _Layers:
    """What is laid on, lowest first, over an edit, and as far out of focus as the photo."""
    side, added, cover, laid = place.side, layers.added, layers.cover, steering.laid
    if not laid:
        return layers
    for one in laid:
        over = resized(one, side)
        # Colours count by how much of them there is.
        over[..., :3] *= over[..., 3:]
        over = softened(over, place.softness)
        faded = fade(side, place.around / 2)[..., None]
        part = over[..., 3:].clip(0, 1) * faded
        added, cover = (1 - part) * added + faded * over[..., :3], (1 - part) * cover + part
    # The grain of hair that is gone is none.
    return replace(layers, added=_single(added), cover=_single(cover), grain=False)


def _single(values: npt.NDArray[np.floating]) -> _Floats:
    return np.asarray(values, dtype=np.float32)


def _own_skin(new: _Floats, old: _Floats, skin: _Floats) -> _Floats:
    """The edited crop with the skin tone of its reconstruction: what moves most of the skin alike moves none of it."""
    sure = skin > 0.5
    if not sure.any():
        return new
    return np.asarray(new - skin[..., None] * np.median((new - old)[sure], axis=0))


def _shade(new: _Floats, old: _Floats, side: int, reach: int) -> _Floats:
    """How much light an edit leaves, (side, side, 1) in [0, 1], crisp at the canvas's resolution; it only darkens."""
    left = ((new @ LUMA + _DARK) / (old @ LUMA + _DARK)).clip(0, 1)
    left = 1 - smooth_step(1 - left, *_SHADE) * (1 - left**_DEEPER)
    left = np.pad(left, reach, constant_values=1)
    return crisp(left[..., None], side, _EDGED)


def _grown(mask: _Floats, unit: float) -> _Floats:
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


def _composed(pixels: _Bytes, layers: _Layers, matrix: Array) -> _Bytes:
    """The photo's pixels, (h, w, 3), under the layers."""

    def place(canvas: _Floats) -> _Floats:
        size = (pixels.shape[1], pixels.shape[0])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        placed = np.asarray(cv2.warpAffine(canvas, matrix, size, flags=flags), dtype=np.float32)
        return placed if placed.ndim == 3 else placed[..., None]

    placed = place(np.concatenate([layers.added, layers.cover], 2))
    marked = None if layers.transfer is None else place(layers.transfer[1])
    # Most of a photo stays.
    box = _box(np.any(placed != 0 if marked is None else np.concatenate([placed, marked], 2) != 0, axis=2), _NEAR)
    photo = pixels[box].astype(np.float32)
    if not photo.size:
        return pixels
    added, cover = placed[box][..., :3], placed[box][..., 3:]
    smooth = None if layers.smooth is None else place(layers.smooth)[box]
    result, touched = photo, cover
    if layers.transfer is not None and marked is not None and smooth is not None:
        moved = layers.transfer[0]
        where, strands_light = marked[box][..., :1], marked[box][..., 1:]
        if where.any():
            result = photo + where * (moved.apply(photo, smooth, strands_light) - photo)
            touched = np.maximum(touched, where)
    result = result + added - cover * result
    if smooth is not None and layers.grain and cover.any():
        result += cover * clipped(photo - smooth, cover)
    if layers.tint is not None and layers.tint.part:
        touched = np.maximum(touched, (np.abs(added).max(2, keepdims=True) > 0.5))
        result = layers.tint.apply(result, touched.astype(np.float32))
    # Where nothing is added, the bytes come through floats unharmed.
    composed = pixels.copy()
    composed[box] = np.where(np.abs(result - photo) < 1e-3, photo, np.rint(result)).clip(0, 255).astype(np.uint8)
    return composed


def _masks(new: _Floats, old: _Floats) -> tuple[_Floats, _Floats]:
    """Where the edit is kept, and where it replaces matter: 0..1, at the crop's size."""
    unit = new.shape[0] / SIDE
    near = max(1, round(3 * unit))
    strength = np.abs(new - old).max(2)
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
    structure = blurred(np.abs(unexplained).max(2), unit)
    most = float(np.percentile(structure, 99))
    low, high = (max(level, part * most) for level, part in zip(_STRUCTURE, _RELATIVE, strict=True))
    replaced = np.maximum(smooth_step(structure, low, high), smooth_step(blurred(strength, unit), *_SHIFT))
    # Wider, so that the seam lies beside what was replaced and not on its edge.
    kernel = np.ones((2 * round(unit) + 1,) * 2, np.uint8)
    replaced = blurred(np.asarray(cv2.dilate(replaced, kernel), dtype=np.float32), 0.8 * unit)
    return kept, np.asarray(replaced * kept)
