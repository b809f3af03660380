"""Bring an edited crop back into the photo it came from, at the photo's own resolution.

Where the model shifts tones (skin, hair colour), its change is added to the photo, which keeps its own texture. Where
it replaces matter (a closed mouth for teeth, skin for a beard), an added change would let the old shine through: there
the photo is cross-faded into the model's face, which is made as sharp and as grainy as the photo around it.

Pictures are floats of 0..255 here. The work is done on a canvas that shows the aligned crop at about the photo's
resolution; of the photo itself, only the pixels under the crop are touched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lc.faces.align import Aligned, Array
from lc.faces.canvases import Place, covered, sampled, to_canvas
from lc.faces.changes import Change, Finish, change_of, finished, grown_softly, own_skin, single, steered
from lc.faces.creases import creased
from lc.faces.filters import (
    LUMA,
    SIDE,
    as_sharp,
    clipped,
    crisp,
    enlarged,
    fade,
    guided,
    largest_of,
    resized,
    softened,
    softness,
)
from lc.faces.masks import box_of, smooth_step
from lc.faces.recolour import recolour
from lc.faces.steering import MARGIN, Steering
from lc.faces.tone import Tint, Transfer, tint_of
from lc.memory import Kept
from lc.threads import each

__all__ = ["REACH", "paste"]

#: How far a change may reach past the crop, which cuts most heads of hair: it is carried on from the crop's border, and
#: fades out over this.
REACH = 10 / SIDE

_FINEST = 8 * SIDE  # the crop becomes at most so many canvas pixels wide; between those, a straight line is as good
_STRIP = 256  # rows of the photo in work at a time, to bound the memory that a large face takes

# Strengths are in grey levels, set by eye.
_FEATHER = 0.15  # part of the crop's side over which a whole crop fades in from each border
_DARK = 6.0  # grey levels at which light is too little to be compared
_SHADE = (0.06, 0.2)  # parts of the light that are lost by chance, and for sure
_EDGED = 2.5  # sharpening of what is laid over a face: frames have edges
_BLURRED = 5.0  # deviations of a blur beyond which nothing comes of it
_NEAR = 8  # pixels around what is touched that are looked at: as far as the grain's blur reaches
_DEEPER = 1.4  # power of the light that is left: frames of a few pixels come out too faint

_Floats: TypeAlias = npt.NDArray[np.float32]
_Bytes: TypeAlias = npt.NDArray[np.uint8]

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
        if np.array_equal(new, old) and not (steering and (steering.laid or steering.colour)):
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

    def strip(start: int) -> None:
        box = (left, start, right, min(bottom, start + _STRIP))
        composed = _composed(np.array(rgb.crop(box)), layers, to_canvas(matrix, side / width, box))
        result.paste(Image.fromarray(composed), box)

    each(strip, range(top, bottom, _STRIP))
    return result


@dataclass(frozen=True, eq=False)
class _Layers:
    """What goes onto the photo.

    Attributes:
        added: (S, S, 3), the colour to add.
        cover: (S, S, 1), the part of the photo that it covers.
        smooth: (S, S, 3), the photo without its grain, which what is covered keeps; None: it does not.
        transfer: another colour for a part of the photo, and where, (S, S, 3): see `recolour`.
        tint: of a photo that has one only.
        grain: whether what is covered keeps the photo's grain.
    """

    added: _Floats
    cover: _Floats
    smooth: _Floats | None = None
    transfer: tuple[Transfer, _Floats] | None = None
    tint: Tint | None = None
    grain: bool = True


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
        return _blended(place, finished(place, change_of(place, new, old), finish))
    reach, none = place.reach, np.zeros_like(place.canvas)
    parts = steering.found(place.width, reach) if steering.recolours or steering.shades or not steering.alone else None
    recoloured = None
    if steering.recolours is not None and parts is not None:
        recoloured = recolour(place, new, old, steering, parts)
    if parts is None or (steering.alone and not steering.shades):
        untouched = _Layers(none, none[..., :1], place.smooth, recoloured, tint_of(place.seen))
        return _laid_on(untouched, steering, place)
    new = own_skin(new, old, parts.skin[reach:-reach, reach:-reach])
    change = steered(place, change_of(place, new, old), steering, parts, finish)
    shade = over = None
    if steering.shades:
        shade = _shade(new, old, place.side, reach)
        if steering.alone:
            cover = single(_mask(place, change) * (1 - shade))
            return _laid_on(_Layers(none, cover, place.smooth, tint=tint_of(place.seen)), steering, place)
        over = enlarged(grown_softly(parts.after[steering.shades], 2 * place.unit), place.side).clip(0, 1)[..., None]
    blended = _blended(place, change, over)
    if shade is not None and over is not None:
        shade = 1 - over * (1 - shade)
        cover = single(1 - shade * (1 - blended.cover))
        blended = replace(blended, added=single(shade * blended.added), cover=cover)
    if steering.creases:
        composed = blended.added + (1 - blended.cover) * place.canvas
        lines = creased(place, composed, steering.creases, parts)
        blended = replace(blended, added=single(blended.added + lines))
    return _laid_on(replace(blended, transfer=recoloured, tint=tint_of(place.seen)), steering, place)


def _mask(place: Place, change: Change) -> _Floats:
    """Where an edit is kept, on the canvas, (S, S, 1)."""
    out = place.around + 2 * place.unit / (place.width + 2 * place.reach)
    return single(enlarged(change.kept, place.side).clip(0, 1) * fade(place.side, out))[..., None]


def _blended(place: Place, change: Change, over: _Floats | None = None) -> _Layers:
    """Shifts are added, matter is covered; not where something lies `over` it, (S, S, 1)."""
    mask = _mask(place, change)
    if over is not None:
        mask = mask * (1 - over)
    shift = guided(enlarged(change.shift, place.side), place.canvas @ LUMA, max(1, round(1.5 * place.fine)))
    cover = enlarged(change.replaced, place.side).clip(0, 1)[..., None]
    matter = as_sharp(change.matter, place.canvas, cover[..., 0])
    if soft := place.softness:
        matter = softened(matter, float(np.sqrt(max(0.0, soft**2 - softness(matter) ** 2))))
    return _Layers(single(mask * ((1 - cover) * shift + cover * matter)), single(mask * cover), place.smooth)


def _laid_on(layers: _Layers, steering: Steering, place: Place) -> _Layers:
    """What is laid on, lowest first, over an edit, and as far out of focus as the photo."""
    if not steering.laid:
        return layers
    side, added, cover = place.side, layers.added.copy(), layers.cover.copy()
    inside, around = fade(side, place.around / 2)[..., None], math.ceil(_BLURRED * place.softness)
    for one in steering.laid:
        over = resized(one[..., :4], side)
        box = box_of(over[..., 3] != 0, around)  # glasses take a fifth of what is seen
        over, faded = over[box], inside[box]
        if over.size:
            for channel in range(3):  # colours count by how much of them there is
                over[..., channel] *= over[..., 3]
            over = softened(over, place.softness)
            part = over[..., 3:].clip(0, 1) * faded
            added[box] = (1 - part) * added[box] + faded * over[..., :3]
            cover[box] = (1 - part) * cover[box] + part
        if one.shape[2] > 4:
            added += inside * resized(one[..., 4:], side)
    # The grain of hair that is gone is none.
    return replace(layers, added=added, cover=cover, grain=False)


def _shade(new: _Floats, old: _Floats, side: int, reach: int) -> _Floats:
    """How much light an edit leaves, (side, side, 1) in [0, 1], crisp at the canvas's resolution; it only darkens."""
    left = ((new @ LUMA + _DARK) / (old @ LUMA + _DARK)).clip(0, 1)
    left = 1 - smooth_step(1 - left, *_SHADE) * (1 - left**_DEEPER)
    left = np.pad(left, reach, constant_values=1)
    return crisp(left[..., None], side, _EDGED)


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
    channels = [*np.moveaxis(placed, 2, 0), *([] if marked is None else np.moveaxis(marked, 2, 0))]
    box = box_of(np.logical_or.reduce([one != 0 for one in channels]), _NEAR)
    photo = pixels[box].astype(np.float32)
    if not photo.size:
        return pixels
    added, cover = placed[box][..., :3], placed[box][..., 3:]
    smooth = None if layers.smooth is None else place(layers.smooth)[box]
    result, touched = photo, cover
    if layers.transfer is not None and marked is not None and smooth is not None:
        moved = layers.transfer[0]
        where, strands_light, mixed = np.split(marked[box], 3, axis=2)
        if where.any():
            result = photo + where * (moved.apply(photo, smooth, strands_light, mixed) - photo)
            touched = np.maximum(touched, where)
    result = result + added - cover * result
    if smooth is not None and layers.grain and cover.any():
        result += cover * clipped(photo - smooth, cover)
    if layers.tint is not None and layers.tint.part:
        touched = np.maximum(touched, (largest_of(np.abs(added))[..., None] > 0.5))
        result = layers.tint.apply(result, touched.astype(np.float32))
    # Where nothing is added, the bytes come through floats unharmed.
    composed = pixels.copy()
    composed[box] = np.where(np.abs(result - photo) < 1e-3, photo, np.rint(result)).clip(0, 255).astype(np.uint8)
    return composed
