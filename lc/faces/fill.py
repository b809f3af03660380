"""Carry a picture on over a hole."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["filled"]

_Floats: TypeAlias = npt.NDArray[np.float32]

_FINE = 3.0  # pixels that a blur is wide in, at least


def filled(picture: _Floats, known: npt.NDArray[np.bool_]) -> _Floats:
    """The picture with what is known around each hole blurred over it, near things before far ones.

    Normalised convolution (Knutsson and Westin 1993) over doubling distances. Telea's inpainting, which marches inwards
    from the rim, meets in the middle of large holes with hard wedges.

    Args:
        picture: (S, S, 3), floats.
        known: (S, S); outside it the picture is made up. All of it is returned as it is where nothing is known.
    """
    if not known.any() or known.all():
        return picture
    side = picture.shape[0]
    weight = known.astype(np.float32)[..., None]
    weighted = np.concatenate([picture * weight, weight], 2)
    result: _Floats = np.broadcast_to(picture[known].mean(0), picture.shape).astype(np.float32)
    sigma = side / 3
    while sigma > 0.8:
        # A wide blur is the same of fewer pixels.
        small = max(8, round(side * min(1.0, _FINE / sigma)))
        seen = cv2.resize(weighted, (small, small), interpolation=cv2.INTER_AREA) if small < side else weighted
        seen = cv2.GaussianBlur(seen, (0, 0), sigma * small / side)
        if small < side:
            seen = cv2.resize(seen, (side, side), interpolation=cv2.INTER_LINEAR)
        total = seen[..., 3:]
        mean = seen[..., :3] / np.maximum(total, 1e-4)
        result = np.asarray(result + np.clip(6 * total, 0, 1) * (mean - result), dtype=np.float32)
        sigma /= 2
    return np.where(known[..., None], picture, result)
