"""Finishing of what is painted onto photos: a net to which a bald head or a beard becomes what photos show.

It is an upsampler (`lc.upsampler`) of its own weights: of what is painted it sees half the resolution, and of the photo
what is around that.
"""

from __future__ import annotations

import cv2
import numpy as np

from lc.faces.composites import Face, Floats
from lc.faces.masks import grown, smooth_step, soft
from lc.upsampler import Upsampler

__all__ = ["finished", "painted"]

SIZE = 128  # pixels of the side of a crop that such nets see
_PAINTED = 0.08  # of what covers a photo from which on all of it is replaced
_WITHIN = (1.0, 9.0)  # pixels from a crop's border over which what is finished gives way to what is painted


def painted(rgb: Floats, layer: Floats) -> tuple[Floats, Floats]:
    """A photo with a layer on it, and what of it is to be finished.

    Args:
        rgb: (S, S, 3) of 0..255.
        layer: RGB of 0..255 and how much covers the photo, in [0, 1], at that resolution or a finer one.

    Returns:
        (S, S, 3), and (S, S) in [0, 1].
    """
    small = layer if len(layer) == len(rgb) else cv2.resize(layer, rgb.shape[:2], interpolation=cv2.INTER_AREA)
    cover = small[..., 3]
    picture = rgb + cover[..., None] * (small[..., :3] - rgb)
    return np.asarray(picture), np.maximum(cover, soft(grown(cover > _PAINTED, 3), 1.0)).clip(0, 1)


def finished(net: Upsampler, face: Face, layer: Floats) -> Floats:
    """A layer as photos show such a thing, within the crop.

    Args:
        net: see above.
        face: a photo's wide crop.
        layer: (W, W, 4), what is painted onto it, see `painted`.

    Returns:
        (W, W, 7): besides, what is added to the colours. The layer itself where the crop is of another resolution.
    """
    side = len(face.rgb)
    if round(side * face.inner) != SIZE:
        return layer
    box = (slice((side - SIZE) // 2, (side + SIZE) // 2),) * 2
    picture, missing = painted(face.rgb, layer)
    found = net.completed(picture[box], face.rgb[box], missing[box])
    line = (SIZE / 2 - np.abs(np.arange(SIZE) + 0.5 - SIZE / 2)).astype(np.float32)
    within = missing[box] * smooth_step(np.minimum(line, line[:, None]), *_WITHIN)
    added = np.zeros((side, side, 3), np.float32)
    added[box] = within[..., None] * (found - picture[box])
    if len(layer) != side:
        added = np.asarray(cv2.resize(added, layer.shape[:2], interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    return np.concatenate([layer[..., :4], added], 2)
