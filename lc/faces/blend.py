"""Bring an edited crop back into the photo it came from, at the photo's own resolution.

Where the model shifts tones (skin, hair colour), its change is added to the photo, which keeps its own texture. Where
it replaces matter (a closed mouth for teeth, skin for a beard), an added change would let the old shine through: there
the photo is cross-faded into the model's face, which is made as sharp and as grainy as the photo around it.

Pictures are floats of 0..255 here. The work is done on a canvas that shows the aligned crop at about the photo's
resolution; of the photo itself, only the pixels under the crop are touched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lc.faces.align import Aligned, Array, warp
from lc.faces.canvases import Canvases
from lc.faces.fill import filled
from lc.faces.masks import smooth_step
from lc.faces.matte import matted
from lc.faces.steering import MARGIN, WORN, Parts, Steering
from lc.faces.tone import Tint, Transfer, tint_of, transfer

__all__ = ["REACH", "paste"]

# Lengths are parts of the crop's side, so that a face is blended alike whatever the crop's resolution; the divisor is
# the side of the crops that they were set by.
_SIDE = 64

#: How far a change may reach past the crop, which cuts most heads of hair: it is carried on from the crop's border, and
#: fades out over this.
REACH = 10 / _SIDE

_CUT = {"hair", "hat"}  # parts that a crop cuts, and that an edit goes on in beyond it

_CANVASES = Canvases(8)
_FINEST = 8 * _SIDE  # the crop becomes at most so many canvas pixels wide; between those, a straight line is as good
_STRIP = 256  # rows of the photo in work at a time, to bound the memory that a large face takes
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

# Strengths are in grey levels. All were set by eye on photos of LFW and the astronaut, but the first, which is low so
# that weak changes of hair are read: the model card's table of photos shows the trade.
_FAINT = (0.03, 0.18)  # changes below and above these parts of the strongest one are left out and kept whole
_LEAST = 16.0  # a strongest change below this counts as this: else an edit that does nearly nothing adds noise
_STRUCTURE = (11.0, 28.0)  # a change of local structure by this much replaces matter: not at all, wholly;
_RELATIVE = (0.2, 0.5)  # where the strongest changes more, these parts of it: an eye need not go with a mouth
_SHIFT = (60.0, 100.0)  # so does a change of tone by this much
_EDGE = 8.0  # contrast in the photo from which on the change follows its edges
_SHARPENING = 0.7
_FEATHER = 0.15  # part of the crop's side over which a whole crop fades in from each border
_SURE = (0.4, 0.85)  # probabilities of a part at which a new colour is not laid on, and wholly
_DARK = 6.0  # grey levels at which light is too little to be compared
_SHADE = (0.06, 0.2)  # parts of the light that are lost by chance, and for sure
_EDGED = 2.5  # sharpening of what is laid over a face: frames have edges
_DEEPER = 1.4  # power of the light that is left: frames of a few pixels come out too faint
_GRAIN = 1.5  # standard deviations of the photo's grain that are kept where matter is replaced

_Floats: TypeAlias = npt.NDArray[np.float32]
_Bytes: TypeAlias = npt.NDArray[np.uint8]


def paste(
    rgb: Image.Image,
    edited: Image.Image,
    aligned: Aligned,
    reconstruction: Image.Image | None = None,
    steering: Steering | None = None,
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

    Returns:
        A new image, mode RGB, of the photo's size.
    """
    result, matrix = rgb.copy(), aligned.matrix.copy()
    new = np.asarray(edited, dtype=np.float32)
    width = new.shape[0]
    matrix[:, :2] *= aligned.crop.width / width
    zoom = max(0.125 * _SIDE, min(aligned.scale * aligned.crop.width, _FINEST)) / width
    if reconstruction is not None:
        old = np.asarray(reconstruction, dtype=np.float32)
        if np.array_equal(new, old) and not (steering and steering.laid):
            return result
        reach = round((REACH if steering is None else MARGIN) * width)
        matrix[:, 2] -= reach * matrix[:, :2].sum(1)
        width += 2 * reach
    left, top, right, bottom = _covered(matrix, width, rgb.size)
    if left >= right or top >= bottom:
        return result
    side = round(width * zoom)
    if reconstruction is not None:
        canvas = _CANVASES.get((rgb, aligned), (width, side), lambda: _sampled(rgb, matrix, width, side))
        layers = _layers(canvas.astype(np.float32), new, old, reach, steering)
    else:
        cover = _fade(side, _FEATHER)[..., None]
        layers = _Layers(_enlarged(new, side) * cover, cover)
    for start in range(top, bottom, _STRIP):
        box = (left, start, right, min(bottom, start + _STRIP))
        strip = _composed(np.array(rgb.crop(box)), layers, _to_canvas(matrix, side / width, box))
        result.paste(Image.fromarray(strip), box)
    return result


@dataclass(frozen=True, eq=False)
class _Layers:
    """What goes onto the photo.

    Attributes:
        added: (S, S, 3), the colour to add.
        cover: (S, S, 1), the part of the photo that it covers.
        smooth: (S, S, 3), the photo without its grain, which what is covered keeps; None: it does not.
        transfer: another colour for a part of the photo, and where, (S, S, 1).
        tint: of a photo that has one only.
        grain: whether what is covered keeps the photo's grain.
    """

    added: _Floats
    cover: _Floats
    smooth: _Floats | None = None
    transfer: tuple[Transfer, _Floats] | None = None
    tint: Tint | None = None
    grain: bool = True


def _layers(canvas: _Floats, new: _Floats, old: _Floats, reach: int, steering: Steering | None) -> _Layers:
    """How to put the change from `old` to `new` onto the photo.

    Args:
        canvas: (S, S, 3), the photo under the crop and `reach` of its pixels around it.
        new, old: the edited crop and its reconstruction.
        reach, steering: see `paste`.
    """
    side, width = canvas.shape[0], new.shape[0]
    unit, whole = width / _SIDE, width + 2 * reach
    broad: _Floats = np.asarray(cv2.resize(canvas, (whole, whole), interpolation=cv2.INTER_AREA), dtype=np.float32)
    seen = broad[reach:-reach, reach:-reach]
    smooth = _blurred(canvas, min(max(0.8, 0.35 * unit * side / whole), 2.0))
    if steering is not None and steering.alone and not steering.shades:
        none = np.zeros_like(canvas)
        return _laid_on(_Layers(none, none[..., :1], smooth, tint=tint_of(seen)), steering.laid, reach / whole)
    parts = steering.found(width, reach) if steering else None
    if parts is not None:
        new = _own_skin(new, old, parts.skin[reach:-reach, reach:-reach])
    kept, replaced = _masks(new, old)
    # The model's face, in the photo's light: less of what it reconstructs too dark or too blue round about.
    matter = new + _spread(seen - old, 1 - replaced)
    # Past the crop, everything goes on as on its border.
    change, matter, kept, replaced = (
        np.pad(values, [(reach, reach)] * 2 + [(0, 0)] * (values.ndim - 2), mode="edge")
        for values in (new - old, matter, kept, replaced)
    )
    # But matter there would be its last rows and columns, over and over; and nothing but heads of hair is cut.
    near = np.pad(np.ones((width, width), np.float32), reach) if reach > 3 * unit else np.ones_like(kept)
    near = smooth_step(_blurred(near, 2 * unit), 0.0, 0.5)
    replaced = replaced * near
    if steering is not None and not _CUT & set(steering.acts_on):
        kept = kept * near
    recoloured = None
    if steering is not None and parts is not None:
        kept = kept * parts.allowed(set(steering.acts_on) - {steering.recolours})
        worn = _grown(parts.exchanged([name for name in WORN if name in steering.acts_on]), unit)
        kept, replaced = np.maximum(kept, worn), np.maximum(replaced, worn)
        matter = _on_background(matter, broad, parts)
        if steering.recolours is not None:
            recoloured = _recoloured(canvas, seen, new, old, reach, steering, parts)
            kept = kept * (1 - parts.kept(steering.recolours))
    mask = (_enlarged(kept, side).clip(0, 1) * _fade(side, (reach + 2 * unit) / whole))[..., None]
    shade = None
    if steering is not None and parts is not None and steering.shades:
        shade = _shade(new, old, side, reach)
        if steering.alone:
            shaded = _Layers(np.zeros_like(canvas), _single(mask * (1 - shade)), smooth, tint=tint_of(seen))
            return _laid_on(shaded, steering.laid, reach / whole)
        over = _enlarged(_grown(parts.after[steering.shades], 2 * unit), side).clip(0, 1)[..., None]
        shade, mask = 1 - over * (1 - shade), mask * (1 - over)
    shift = _guided(_enlarged(change, side), canvas @ _LUMA, max(1, round(1.5 * unit * side / whole)))
    cover = _enlarged(replaced, side).clip(0, 1)[..., None]
    matter = _as_sharp(matter, canvas, cover[..., 0])
    added, covered = _single(mask * ((1 - cover) * shift + cover * matter)), _single(mask * cover)
    if steering is None:
        return _Layers(added, covered, smooth)
    if shade is not None:
        added, covered = shade * added, 1 - shade * (1 - covered)
    blended = _Layers(_single(added), _single(covered), smooth, recoloured, tint_of(seen))
    return _laid_on(blended, steering.laid, reach / whole)


def _laid_on(layers: _Layers, laid: Sequence[_Floats], reach: float) -> _Layers:
    """What is laid on, lowest first, over an edit; `reach` as a part of the canvas's side."""
    side, added, cover = layers.added.shape[0], layers.added, layers.cover
    for one in laid:
        over = _resized(one, side)
        part = (over[..., 3].clip(0, 1) * _fade(side, reach / 2))[..., None]
        added, cover = (1 - part) * added + part * over[..., :3], (1 - part) * cover + part
    # The grain of hair that is gone is none.
    return replace(layers, added=_single(added), cover=_single(cover), grain=layers.grain and not laid)


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
    left = ((new @ _LUMA + _DARK) / (old @ _LUMA + _DARK)).clip(0, 1)
    left = 1 - smooth_step(1 - left, *_SHADE) * (1 - left**_DEEPER)
    left = np.pad(left, reach, constant_values=1)
    return _crisp(left[..., None], side, _EDGED)


def _grown(mask: _Floats, unit: float) -> _Floats:
    """A mask in [0, 1], made sure of and a little wider, with soft edges."""
    wide = cv2.dilate(smooth_step(mask, 0.2, 0.6), np.ones((2 * round(unit) + 1,) * 2, np.uint8))
    return _blurred(np.asarray(wide, dtype=np.float32), 0.6 * unit)


def _on_background(matter: _Floats, photo: _Floats, parts: Parts) -> _Floats:
    """What the edit uncovers is the photo's own background, carried on from around it."""
    uncovered = parts.uncovered
    if uncovered.max() < 0.5 or parts.background.max() < 0.5:
        return matter
    behind = filled(photo, parts.background > 0.9)
    return np.asarray(matter + uncovered[..., None] * (behind - matter), dtype=np.float32)


def _recoloured(
    canvas: _Floats, seen: _Floats, new: _Floats, old: _Floats, reach: int, steering: Steering, parts: Parts
) -> tuple[Transfer, _Floats]:
    """Another colour for a part of the photo, and where on the canvas: (S, S, 1)."""
    assert steering.recolours is not None
    side, whole = canvas.shape[0], parts.background.shape[0]
    inside = parts.kept(steering.recolours)[reach:-reach, reach:-reach]
    moved = transfer(seen, new, old, inside, steering.colour)
    # Beyond the crop, where the edit was not decoded, the part is the photo's.
    broad = np.asarray(cv2.resize(canvas, (whole, whole), interpolation=cv2.INTER_AREA), dtype=np.float32)
    there = matted(parts.before[steering.recolours], broad)
    where = _enlarged(smooth_step(there, *_SURE), side).clip(0, 1)
    fine = _guided(where[..., None], canvas @ _LUMA, max(2, round(2.0 * side / _SIDE)))
    fade = _fade(side, reach / whole / 2)
    return moved, (fine[..., 0].clip(0, 1) * fade)[..., None]


def _composed(pixels: _Bytes, layers: _Layers, matrix: Array) -> _Bytes:
    """The photo's pixels, (h, w, 3), under the layers."""

    def place(canvas: _Floats) -> _Floats:
        size = (pixels.shape[1], pixels.shape[0])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        placed = np.asarray(cv2.warpAffine(canvas, matrix, size, flags=flags), dtype=np.float32)
        return placed if placed.ndim == 3 else placed[..., None]

    placed = place(np.concatenate([layers.added, layers.cover], 2))
    added, cover = placed[..., :3], placed[..., 3:]
    photo = pixels.astype(np.float32)
    smooth = None if layers.smooth is None else place(layers.smooth)
    result, touched = photo, cover
    if layers.transfer is not None and smooth is not None:
        moved, where = layers.transfer[0], place(layers.transfer[1])
        if where.any():
            result = photo + where * (moved.apply(photo, smooth) - photo)
            touched = np.maximum(touched, where)
    result = result + added - cover * result
    if smooth is not None and layers.grain and cover.any():
        result += cover * _clipped(photo - smooth)
    if layers.tint is not None and layers.tint.part:
        touched = np.maximum(touched, (np.abs(added).max(2, keepdims=True) > 0.5))
        result = layers.tint.apply(result, touched.astype(np.float32))
    # Where nothing is added, the bytes come through floats unharmed.
    return np.where(np.abs(result - photo) < 1e-3, photo, np.rint(result)).clip(0, 255).astype(np.uint8)


def _masks(new: _Floats, old: _Floats) -> tuple[_Floats, _Floats]:
    """Where the edit is kept, and where it replaces matter: 0..1, at the crop's size."""
    unit = new.shape[0] / _SIDE
    near = max(1, round(3 * unit))
    strength = np.abs(new - old).max(2)
    broad = _blurred(strength, 1.5 * unit)
    strongest = max(float(np.percentile(broad, 98)), _LEAST)
    kept = smooth_step(broad, _FAINT[0] * strongest, _FAINT[1] * strongest)
    # The local gain by which the edit scales what contrast there is: lighter hair has more of it, and stays hair.
    old_luma, new_luma = old @ _LUMA, new @ _LUMA
    mean = _boxed(old_luma, near)
    variance = _boxed(old_luma * old_luma, near) - mean * mean
    covariance = _boxed(old_luma * new_luma, near) - mean * _boxed(new_luma, near)
    gain = ((covariance + 36) / (variance + 36)).clip(0.3, 2)
    # What the gain does not explain has come or gone.
    unexplained = (new - _blurred(new, 3 * unit)) - gain[..., None] * (old - _blurred(old, 3 * unit))
    structure = _blurred(np.abs(unexplained).max(2), unit)
    most = float(np.percentile(structure, 99))
    low, high = (max(level, part * most) for level, part in zip(_STRUCTURE, _RELATIVE, strict=True))
    replaced = np.maximum(smooth_step(structure, low, high), smooth_step(_blurred(strength, unit), *_SHIFT))
    # Wider, so that the seam lies beside what was replaced and not on its edge.
    kernel = np.ones((2 * round(unit) + 1,) * 2, np.uint8)
    replaced = _blurred(np.asarray(cv2.dilate(replaced, kernel), dtype=np.float32), 0.8 * unit)
    return kept, np.asarray(replaced * kept)


def _guided(change: _Floats, guide: _Floats, radius: int) -> _Floats:
    """Let a soft change follow the photo's edges: the guided filter (He, Sun and Tang, 2013), on boxes.

    Args:
        change: (S, S, 3).
        guide: (S, S), the photo's luma.
        radius: half the boxes' side.
    """
    mean = _boxed(guide, radius)
    variance = _boxed(guide * guide, radius) - mean * mean + _EDGE**2
    change_mean = _boxed(change, radius)
    slope = (_boxed(guide[..., None] * change, radius) - mean[..., None] * change_mean) / variance[..., None]
    offset = change_mean - slope * mean[..., None]
    return np.asarray(_boxed(slope, radius) * guide[..., None] + _boxed(offset, radius))


def _spread(values: _Floats, weight: _Floats) -> _Floats:
    """Blur (S, S, 3) values so that those of no weight take over their surroundings'."""
    weight, sigma = weight[..., None] + 1e-3, 4 * values.shape[0] / _SIDE
    return np.asarray(_blurred(values * weight, sigma) / _blurred(np.repeat(weight, 3, 2), sigma))


def _as_sharp(matter: _Floats, canvas: _Floats, cover: _Floats) -> _Floats:
    """Enlarge the model's face to the canvas, and sharpen it as far as the photo is sharp where it is covered."""
    side = canvas.shape[0]
    soft, crisp = _enlarged(matter, side), _crisp(matter, side)
    steepness = [float((_gradient(image) * cover).sum()) for image in (soft, crisp, canvas)]
    part = (steepness[2] - steepness[0]) / max(steepness[1] - steepness[0], 1e-3)
    return np.asarray(soft + float(np.clip(part, 0, 1)) * (crisp - soft))


def _crisp(values: _Floats, side: int, sharpening: float = _SHARPENING) -> _Floats:
    """Enlarge (S, S, C) by doublings, each sharpened within what its neighbours have, so that there are no halos."""
    shape = (side, side, values.shape[2])
    crisp = _enlarged(values, min(side, 2 * values.shape[0]))
    while crisp.shape[0] < side:
        crisp = _enlarged(crisp, min(side, 2 * crisp.shape[0]))
        neighbours = np.ones((3, 3), np.uint8)
        low, high = cv2.erode(crisp, neighbours), cv2.dilate(crisp, neighbours)
        crisp = (crisp + sharpening * (crisp - _blurred(crisp, 1.2))).clip(low, high)
    return crisp.reshape(shape)


def _clipped(grain: _Floats) -> _Floats:
    """Grain without the edges among it, which are what has been replaced."""
    reach = _GRAIN * float(np.median(np.abs(grain[::4, ::4]))) / 0.6745  # a normal deviation from the median one
    return grain.clip(-reach, reach)


def _sampled(rgb: Image.Image, matrix: Array, width: int, side: int) -> _Bytes:
    """The photo under a square of `width` crop pixels, (side, side, 3)."""
    finer = matrix.copy()
    finer[:, :2] *= width / side
    return np.asarray(warp(rgb, finer, side))


def _to_canvas(matrix: Array, zoom: float, box: tuple[int, int, int, int]) -> Array:
    """(2, 3), from a pixel's index in a part of the photo to the index of the canvas pixel there."""
    linear = np.linalg.inv(matrix[:, :2]) * zoom
    return np.column_stack([linear, linear @ (np.array(box[:2]) + 0.5 - matrix[:, 2]) - 0.5])


def _covered(matrix: Array, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The photo's part that holds the turned square: left, top, right, bottom; empty if they do not meet."""
    corners = matrix @ np.array([[0, width, 0, width], [0, 0, width, width], [1, 1, 1, 1]])  # (2, 4)
    left, top = (max(0, math.floor(value)) for value in corners.min(1))
    right, bottom = (min(end, math.ceil(value)) for end, value in zip(size, corners.max(1), strict=True))
    return left, top, right, bottom


def _fade(side: int, part: float) -> _Floats:
    """(side, side) weights: 0 on the border, a smooth step up to 1 over a part of the side."""
    position = np.linspace(0, 1, side, dtype=np.float32)
    ramp = smooth_step(np.minimum(position, 1 - position), 0, part)
    return np.asarray(ramp[:, None] * ramp)


def _enlarged(values: _Floats, side: int) -> _Floats:
    return np.asarray(cv2.resize(values, (side, side), interpolation=cv2.INTER_CUBIC))


def _resized(values: _Floats, side: int) -> _Floats:
    """Enlarged, or shrunk without aliasing."""
    if side >= values.shape[0]:
        return _enlarged(values, side)
    return np.asarray(cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA))


def _blurred(values: _Floats, sigma: float) -> _Floats:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))


def _boxed(values: npt.NDArray[np.floating], radius: int) -> _Floats:
    """The mean over a box around each pixel."""
    box = (2 * radius + 1, 2 * radius + 1)
    blurred = np.asarray(cv2.blur(values, box, borderType=cv2.BORDER_REFLECT), dtype=np.float32)
    return blurred.reshape(values.shape)


def _gradient(image: _Floats) -> _Floats:
    """(S, S, 3) -> (S, S), the luma's steepness."""
    luma = image @ _LUMA
    return np.asarray(np.hypot(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)))
