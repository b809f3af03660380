"""Grey hair on a photo, as years bring it: strand by strand, first at the temples."""

from __future__ import annotations

import cv2
import numpy as np

from lc.faces.composites import Face, Floats
from lc.faces.filters import softened, softness
from lc.faces.masks import smooth_step, soft
from lc.faces.strands import strands
from lc.faces.tone import to_lab, to_rgb

__all__ = ["greys"]

_FINE = 2  # times as many pixels as the photo's crop that is laid onto
_SURE = (0.55, 0.95)  # probabilities of hair between which it comes
_LEAST = 50  # pixels of hair and of skin from which on there is something to go by
_LIGHT = 0.9  # of the skin's L*, what grey strands have: they lie in the same light
_CHROMA = 0.25  # likewise of its chroma: beside warm skin what has none looks blue
_STRANDS = (-2.0, 2.5)  # deviations of `lc.faces.strands` between which a strand is grey
_EVERYWHERE = 0.25  # of the grey of temples, what there is in the rest of hair
_TEMPLES = 0.14  # deviation of the blur, in parts of the crop's side, that tells what lies beside the face
_MOST = 0.85  # of a strand's own colour, what goes


def greys(onto: Face) -> Floats | None:
    """Grey strands for a person; None where no hair or no skin is seen.

    Args:
        onto: the photo's face.

    Returns:
        (S, S, 7), finer than the face by a whole factor: a cover that hides nothing, and what is added to the photo's
        colours, of 0..255.
    """
    hair, skin = smooth_step(onto.maps["hair"], *_SURE), onto.sure("skin")
    if min((hair > 0.5).sum(), skin.sum()) < _LEAST:
        return None
    side = _FINE * len(onto.rgb)
    lab = to_lab(soft(onto.rgb, 0.7))
    own = np.median(lab[skin], axis=0)
    grey = np.broadcast_to(own * (_LIGHT, _CHROMA, _CHROMA), lab.shape).astype(np.float32)
    grey[..., 0] = np.maximum(lab[..., 0], grey[..., 0])
    sigma = _TEMPLES * onto.inner * len(onto.rgb)
    beside = (2 * soft(skin, sigma)).clip(0, 1)  # half of what is about a place on the face's border is skin
    where = hair * (_EVERYWHERE + (1 - _EVERYWHERE) * beside)
    fine = cv2.resize(onto.rgb, (side, side), interpolation=cv2.INTER_LINEAR)
    drawn = smooth_step(strands(np.asarray(fine, dtype=np.float32), side * onto.inner / 64), *_STRANDS)
    layer = np.zeros((side, side, 7), np.float32)
    change = np.concatenate([to_rgb(grey) - to_rgb(lab), where[..., None]], 2)
    change = np.asarray(cv2.resize(change, (side, side), interpolation=cv2.INTER_LINEAR))
    added = _MOST * (change[..., 3] * drawn)[..., None] * change[..., :3]
    layer[..., 4:] = softened(np.asarray(added, dtype=np.float32), _FINE * softness(onto.rgb))
    return layer
