"""Regions of faces drawn anew on photos, see `lc.regions`: what changes of a photo, as a layer to lay onto it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import cv2
import numpy as np
import torch

from lc.faces.changes import masks_of
from lc.faces.composites import Face, Floats
from lc.faces.fill import filled
from lc.faces.filters import SIDE, blurred, largest_of
from lc.faces.masks import grown, smooth_step, soft
from lc.faces.tone import bounded, to_lab
from lc.finish import with_layer
from lc.regions import CROP, PATCH, REGIONS, RegionVAE, hidden

__all__ = ["cleared", "middle_of", "redrawn"]

_LEAST = 0.004  # share of the crop below which something is before a mouth, or it is seen from the side
_NEAR = 0.2  # parts of the crop's side from where mouths are, beyond which it is a shirt
_WIDER = 1.12  # of what a net hides as a rule, what is drawn of a change: a smile's folds end further out
_INSIDE, _FADED = 1.0, 4.0  # part of that which is taken from what is drawn, and pixels over which it fades
_SEEN = 0.4  # probability of a part from which on it is seen there
_ELSEWHERE = (24.0, 56.0)  # grey levels that what is drawn is at least from a part that lies where it has none
_SKIN, _LEAST_SKIN = 0.9, 200  # probability of skin whose colour counts, and pixels of it that say something
_BEYOND = 3.0  # a* and b* by which a region may be redder and yellower than that
_WORN = 0.5  # probability of glasses from which on they stay
_UNLIKE = 16.0  # mean difference in grey levels of the net's copy from the photo that one mouth in twenty has
_ALIKE = 1.5  # grey levels of the largest change below which nothing is to be changed


def middle_of(face: Face, region: str) -> tuple[float, float] | None:
    """The middle of a region's patch, pixels from the left and from above; None where it is not seen, or a part of it.

    Args:
        face: a crop and its maps.
        region: see `REGIONS`.
    """
    side, inner, part = len(face.rgb), face.inner, REGIONS[region].part
    x, y = (side * ((1 - inner) / 2 + inner * at) for at in REGIONS[region].place)
    if not part:
        return x, y
    _, _, statistics, middles = cv2.connectedComponentsWithStats((face.maps[part] > 0.5).astype(np.uint8))
    near = np.hypot(*(middles + 0.5 - (x, y)).T) < _NEAR * side * inner
    areas = near * statistics[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # all else
    if areas.max() < _LEAST * (side * inner) ** 2:
        return None
    x, y = middles[areas.argmax()]
    return float(x) + 0.5, float(y) + 0.5


def _patch_of(face: Face, region: str) -> tuple[slice, slice] | None:
    """Where a region's patch is; None where it is not seen, or not at that resolution."""
    side, middle = len(face.rgb), middle_of(face, region)
    if middle is None or round(side * face.inner) != CROP:
        return None
    down, right = (int(np.clip(round(place - PATCH / 2), 0, side - PATCH)) for place in middle[::-1])
    return slice(down, down + PATCH), slice(right, right + PATCH)


def _inside(region: str) -> Floats:
    """How much of what is drawn is taken, (64, 64) in [0, 1]: less next to what was seen."""
    return blurred(hidden(1, region, _INSIDE)[0, 0].numpy(), _FADED)


@torch.inference_mode()
def cleared(net: RegionVAE, face: Face, layer: Floats, where: Floats) -> Floats:
    """A layer without what is left about eyes and brows of hair, or of frames, that it takes away.

    A code of some numbers has no room for strands: from it, and from a forehead that has none, a region is drawn
    without them, and brows that frames hid are drawn. Elsewhere the photo stays.

    Args:
        net: the region's.
        face: a photo's wide crop.
        layer: (S, S, 4 or 7), see `lc.finish`: what is laid onto it.
        where: (S, S) in [0, 1], where that was.

    Returns:
        (S, S, 7): the same with more that is added to the colours; as it is where the region is not seen, or that was
        not near.
    """
    box = _patch_of(face, net.config.region)
    if box is None or layer.shape[:2] != face.rgb.shape[:2]:
        return layer
    inside = (_inside(net.config.region) * where[box])[..., None]
    if not inside.any():
        return layer
    bare, region = with_layer(face.rgb, layer)[box], net.config.region
    patch = torch.from_numpy(bare).permute(2, 0, 1)[None].to(net.critics.device) / 255
    drawn = 255 * net.draw(patch, hidden(1, region).to(patch), net.encode(patch).mean)[0].permute(1, 2, 0).cpu().numpy()
    result = np.zeros((*face.rgb.shape[:2], 7), np.float32)
    result[..., : layer.shape[2]] = layer
    result[box][..., 4:] += inside * (drawn - bare)
    return result


def _in_skins_colours(new: Floats, face: Face, region: str, box: tuple[slice, slice]) -> Floats:
    """A region that is nowhere yellower than the photo's skin round about, nor redder where there are no lips: what is
    drawn may be so in patches."""
    part = REGIONS[region].part
    skin = face.maps["skin"][box] > _SKIN
    if part:
        skin &= ~grown(face.maps[part][box] > _SEEN, 5)
    if skin.sum() < _LEAST_SKIN:
        return new
    own = to_lab(filled(face.rgb[box], skin))
    for axis in (2,) if part else (1, 2):
        new = bounded(new, axis, own[..., axis] + _BEYOND)
    return new


@torch.inference_mode()
def redrawn(
    net: RegionVAE, face: Face, moves: Mapping[str, float], far: float, at_any_rate: Collection[str] = ()
) -> Floats | None:
    """A region of a face as it would be with some attributes, or without them.

    Args:
        net: the region's.
        face: a photo's wide crop.
        moves: by attribute, what is wanted of it, and how `far` to go: see `RegionVAE.moved`.
        at_any_rate: those that make a change even of a region that the net draws much unlike the photo's own: a mouth
            wide open, or seen from the side.

    Returns:
        (S, S, 7): RGB of 0..255, how much of it covers the photo, in [0, 1], and what is added to the photo's colours
        elsewhere: nothing, where it is so already. None where it is not seen, or not at that resolution.
    """
    side, box = len(face.rgb), _patch_of(face, net.config.region)
    if box is None:
        return None
    device = net.critics.device
    patch = torch.from_numpy(face.rgb[box]).permute(2, 0, 1)[None].to(device) / 255
    codes = net.encode(patch).mean
    usual, missing = (hidden(1, net.config.region, scale).to(device) for scale in (1.0, _WIDER))
    twice = patch.expand(2, -1, -1, -1), missing.expand(2, -1, -1, -1)
    copy, drawn = net.draw(*twice, torch.cat([codes, net.moved(codes, moves, far)]))
    away = float((usual * (copy - patch).abs()).sum() / (3 * usual.sum()))
    if REGIONS[net.config.region].part and away > _UNLIKE / 255:
        needed = {name: wanted for name, wanted in moves.items() if name in at_any_rate}
        drawn = net.draw(patch, missing, net.moved(codes, needed, far))[0]
    old, new = (255 * one.permute(1, 2, 0).cpu().numpy() for one in (copy, drawn))
    layer = np.zeros((side, side, 7), np.float32)
    if np.abs(new - old).max() < _ALIKE:
        return layer
    kept, replaced = masks_of(new, old, side * face.inner / SIDE)
    inside = _inside(net.config.region)
    new = _in_skins_colours(new, face, net.config.region, box)
    if part := REGIONS[net.config.region].part:
        # A code says roughly what is there: where lips or teeth of the photo's lie elsewhere, they go too.
        there = soft(grown(face.maps[part] > _SEEN, 5), 1.0)[box]
        strength = blurred(largest_of(np.abs(new - face.rgb[box])), 1.0)
        gone = soft(there * smooth_step(strength, *_ELSEWHERE), 0.7)
        kept, replaced = (np.maximum(one, gone) for one in (kept, replaced))
        inside = np.maximum(inside, there * blurred(missing[0, 0].cpu().numpy(), 1.0))
    worn = soft(grown(face.maps["glasses"] > _WORN, 3), 0.7)[box]
    inside, kept, replaced = (one[..., None] for one in (inside * (1 - worn), kept, replaced))
    layer[box] = np.concatenate([new, inside * replaced, inside * (kept - replaced) * (new - old)], 2)
    return layer
