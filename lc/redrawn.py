"""Regions of faces drawn anew on photos, see `lc.regions`: what changes of a photo, as a layer to lay onto it."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import torch

from lc.faces.changes import masks_of
from lc.faces.composites import Face, Floats
from lc.faces.filters import SIDE, blurred
from lc.regions import CROP, PATCH, REGIONS, RegionVAE, hidden

__all__ = ["middle_of", "redrawn"]

_LEAST = 0.004  # share of the crop below which something is before a mouth, or it is seen from the side
_NEAR = 0.2  # parts of the crop's side from where mouths are, beyond which it is a shirt
_INSIDE, _FADED = 0.92, 2.5  # part of what is hidden that is taken from what is drawn, and pixels over which it fades
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


@torch.inference_mode()
def redrawn(net: RegionVAE, face: Face, moves: Mapping[str, float], far: float) -> Floats | None:
    """A region of a face as it would be with some attributes, or without them.

    Args:
        net: the region's.
        face: a photo's wide crop.
        moves: by attribute, what is wanted of it, and how `far` to go: see `RegionVAE.moved`.

    Returns:
        (S, S, 7): RGB of 0..255, how much of it covers the photo, in [0, 1], and what is added to the photo's colours
        elsewhere: nothing, where it is so already. None where it is not seen, or not at that resolution.
    """
    side = len(face.rgb)
    middle = middle_of(face, net.config.region)
    if middle is None or round(side * face.inner) != CROP:
        return None
    corner = [int(np.clip(round(place - PATCH / 2), 0, side - PATCH)) for place in middle[::-1]]
    box = tuple(slice(start, start + PATCH) for start in corner)
    device = net.critics.device
    patch = torch.from_numpy(face.rgb[box]).permute(2, 0, 1)[None].to(device) / 255
    codes, missing = net.encode(patch).mean, hidden(1, net.config.region).to(device)
    moved = codes
    for name, wanted in moves.items():
        moved = net.moved(moved, name, wanted, far)
    pair = net.draw(patch.expand(2, -1, -1, -1), missing.expand(2, -1, -1, -1), torch.cat([codes, moved]))
    old, new = (255 * pair).permute(0, 2, 3, 1).cpu().numpy()
    layer = np.zeros((side, side, 7), np.float32)
    if np.abs(new - old).max() < _ALIKE:
        return layer
    kept, replaced = (one[..., None] for one in masks_of(new, old, side * face.inner / SIDE))
    # Next to what was seen, what is drawn is the photo's more than the code's.
    inside = blurred(hidden(1, net.config.region, _INSIDE)[0, 0].numpy(), _FADED)[..., None]
    layer[box] = np.concatenate([new, inside * replaced, inside * (kept - replaced) * (new - old)], 2)
    return layer
