"""What nets make of layers: what is painted onto photos, a bald head or a beard, becomes what photos show; and glasses
are lifted off what is behind them.

They are upsamplers (`lc.upsampler`) of their own weights. Of what is painted one sees half the resolution, and of the
photo what is around that; of glasses all there is.
"""

from __future__ import annotations

import cv2
import numpy as np

from lc.faces.beards import Style, beard
from lc.faces.changes import masks_of
from lc.faces.composites import Face, Floats
from lc.faces.fill import filled
from lc.faces.filters import SIDE as FINE
from lc.faces.heads import EYES, OVER, face_of, head_of
from lc.faces.masks import broad, grown, smooth_step, soft
from lc.faces.tone import bounded, to_lab
from lc.upsampler import Upsampler

__all__ = [
    "FINISHERS",
    "SIZE",
    "bearded",
    "finished",
    "frames_gone",
    "painted",
    "with_layer",
    "without_beard",
    "without_glasses",
    "worn",
]

#: What the nets do: finish what is painted, and lift off glasses and beards.
FINISHERS = ("finisher", "lifter", "shaver")
SIZE = 128  # pixels of the side of a crop that such nets see
_PAINTED = 0.08  # of what covers a photo from which on all of it is replaced
_WORN = 0.3  # probability of glasses from which on they are lifted, and of eyes behind them
_PART = 0.1  # of the largest part of glasses that another one has at least
_CHANGED = 24.0  # grey levels that skin is at least from the frames before it
_EYE, _EDGE = 0.25, 0.02  # probability of eyes from which on they stay, and how much of frames is none
_LIGHTER = (3.0, 10.0)  # grey levels by which a ghost is lighter than that
_DECIDED = 4  # power by which what is more of what is around frames is taken for what is behind them
_EYES = 20  # pixels of eyes below which lenses hide them: what is not seen a generator of faces draws better
_FULL = Style(cheeks=1.0, moustache=1.0, chin=1.0, hairs=0.0, length=0.05, shade=1.0)  # all of where one may grow
_HIGHER = 6  # pixels that thick moustaches reach above where they are drawn, up to the nose
_LEAST = 0.002  # share of the crop below which there are none
_REDDER = 2.0  # a* by which a beard may be redder than the skin under it, and than it was painted
_WITHIN = (1.0, 9.0)  # pixels from a crop's border over which what is finished gives way to what is painted


def painted(rgb: Floats, layer: Floats) -> tuple[Floats, Floats]:
    """A photo with a layer on it, and what of it is to be finished.

    Args:
        rgb: (S, S, 3) of 0..255.
        layer: RGB of 0..255 and how much covers the photo, in [0, 1], at that resolution or a finer one.

    Returns:
        (S, S, 3), and (S, S) in [0, 1].
    """
    cover = np.asarray(cv2.resize(layer[..., 3], rgb.shape[:2], interpolation=cv2.INTER_AREA), dtype=np.float32)
    return with_layer(rgb, layer[..., :4]), np.maximum(cover, soft(grown(cover > _PAINTED, 3), 1.0)).clip(0, 1)


def finished(net: Upsampler, face: Face, layer: Floats, where: Floats) -> Floats:
    """A layer as photos show such a thing, within the crop.

    Args:
        net: see above.
        face: a photo's wide crop.
        layer: (W, W, 4), what is painted onto it, see `painted`.
        where: (S, S) in [0, 1], how far that is finished.

    Returns:
        (W, W, 7): besides, what is added to the colours. The layer itself where the crop is of another resolution.
    """
    side = len(face.rgb)
    if round(side * face.inner) != SIZE:
        return layer
    box = (slice((side - SIZE) // 2, (side + SIZE) // 2),) * 2
    picture, missing = painted(face.rgb, layer)
    # Skin is not red in every light.
    most = np.stack([to_lab(one[box])[..., 1] for one in (picture, face.rgb)]).max(0) + np.float32(_REDDER)
    found = bounded(net.completed(picture[box], face.rgb[box], missing[box]), 1, most)
    line = (SIZE / 2 - np.abs(np.arange(SIZE) + 0.5 - SIZE / 2)).astype(np.float32)
    within = (where * missing)[box] * smooth_step(np.minimum(line, line[:, None]), *_WITHIN)
    added = np.zeros((side, side, 3), np.float32)
    added[box] = within[..., None] * (found - picture[box])
    if len(layer) != side:
        added = np.asarray(cv2.resize(added, layer.shape[:2], interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    return np.concatenate([layer[..., :4], added], 2)


def with_layer(rgb: Floats, layer: Floats) -> Floats:
    """A photo with a layer on it, (S, S, 3) of 0..255: (W, W, 4 or 7), see `painted` and `finished`."""
    size = rgb.shape[:2]
    over = cv2.resize(layer[..., :4], size, interpolation=cv2.INTER_AREA)
    found = rgb + over[..., 3:] * (over[..., :3] - rgb)
    if layer.shape[2] > 4:
        found = found + cv2.resize(layer[..., 4:], size, interpolation=cv2.INTER_AREA)
    return np.asarray(found.clip(0, 255), dtype=np.float32)


def worn(face: Face) -> Floats:
    """Where glasses are, and their shadow, (S, S) in [0, 1]."""
    rows = np.arange(len(face.rgb))[:, None]
    glasses = (face.maps["glasses"] > _WORN) & (rows > face.row(EYES - OVER))
    return np.asarray(soft(broad(grown(glasses, 5), _PART), 1.0).clip(0, 1))


def frames_gone(face: Face, layer: Floats) -> Floats:
    """Where frames have been that a layer takes off, (S, S) in [0, 1]: what of glasses becomes much lighter or darker,
    but for eyes."""
    changed = np.abs(with_layer(face.rgb, layer) - face.rgb).max(2) > _CHANGED
    frames = grown(changed, 3) & (worn(face) > _WORN) & ~grown(face.maps["eyes"] > _EYE, 5)
    return soft(frames, 1.0)


def bearded(face: Face) -> Floats:
    """Where a beard may be, (S, S) in [0, 1]; nothing where no mouth is seen."""
    layer = beard(face, _FULL)
    if layer is None:
        return np.zeros(face.rgb.shape[:2], np.float32)
    cover = cv2.resize(layer[..., 3], face.rgb.shape[:2], interpolation=cv2.INTER_AREA)
    there = cv2.dilate(grown(cover > _PAINTED, 7).astype(np.uint8), np.ones((1 + _HIGHER, 1)), anchor=(0, 0))
    return np.asarray(soft(there > 0, 2.0).clip(0, 1))


def without_glasses(net: Upsampler, face: Face) -> Floats | None:
    """A face without its glasses, see `_lifted`; None as well where no glasses are found, or no eyes behind them."""
    there = worn(face)
    if there.mean() < _LEAST or (face.maps["eyes"] > _WORN).sum() < _EYES:
        return None
    layer = _lifted(net, face, there)
    return None if layer is None else _evened(face, layer)


def _evened(face: Face, layer: Floats) -> Floats:
    """The same with what is around frames where they have been, skin with skin, hair with hair and all else with all
    else: what a net has left of dark ones is a ghost, lighter than skin."""
    frames, maps = frames_gone(face, layer)[..., None], face.maps
    clear = frames[..., 0] < _EDGE
    around = clear & (worn(face) < _EDGE)
    features = np.asarray(maps["eyes"] + maps["brows"])
    skin, hair = (np.asarray(one > 0.5) for one in (maps["skin"] + maps["mouth"] + features, maps["hair"]))
    sides = filled(np.stack([skin, hair, ~(skin | hair)], 2).astype(np.float32), around) ** _DECIDED
    sides[..., 2] *= 1 - head_of(face, face_of(face)).cover  # nothing is seen through a head
    sides /= sides.sum(2, keepdims=True).clip(1e-6)
    lifted = with_layer(face.rgb, layer)
    lenses = (maps["skin"] > 0.5) | ((maps["glasses"] > 0.5) & (sides[..., 0] > 0.5))
    known = clear & lenses & ~grown(features > _EYE, 5), around & hair, around & ~(skin | hair)
    behind = sum(sides[..., at : at + 1] * filled(lifted, one) for at, one in enumerate(known))
    lighter = soft(((lifted - behind) * frames).max(2), 1.0)
    ghost = frames * smooth_step(lighter, *_LIGHTER)[..., None]
    rest = (1 - ghost) * layer[..., 3:4]
    cover = ghost + rest
    colours = ghost * behind + rest * layer[..., :3]
    return np.concatenate([colours / cover.clip(1e-6), cover, (1 - ghost) * layer[..., 4:]], 2)


def without_beard(net: Upsampler, face: Face) -> Floats | None:
    """A face without its beard, see `_lifted`; None as well where no mouth is seen."""
    there = bearded(face)
    return _lifted(net, face, there) if there.any() else None


def _lifted(net: Upsampler, face: Face, there: Floats) -> Floats | None:
    """A face without what lies on it.

    Args:
        net: one that has learned to see what is under that.
        face: a photo's wide crop.
        there: (S, S) in [0, 1], where that is.

    Returns:
        (S, S, 7): RGB of 0..255, how much of it covers the photo, in [0, 1], and what is added to its colours. None
        where the crop is of another resolution.
    """
    side = len(face.rgb)
    if round(side * face.inner) != SIZE:
        return None
    box = (slice((side - SIZE) // 2, (side + SIZE) // 2),) * 2
    photo = face.rgb[box]
    found = net.completed(photo, photo, there[box], hidden=False)
    within = there[box][..., None]
    kept, replaced = (one[..., None] for one in masks_of(found, photo, SIZE / FINE))
    layer = np.zeros((side, side, 7), np.float32)
    layer[box] = np.concatenate([found, within * replaced, within * (kept - replaced) * (found - photo)], 2)
    return layer
