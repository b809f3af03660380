"""Carry a picture on over a hole."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["filled"]

_Floats: TypeAlias = npt.NDArray[np.float32]


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
    weight = known.astype(np.float32)
    result: _Floats = np.broadcast_to(picture[known].mean(0), picture.shape).astype(np.float32)
    sigma = picture.shape[0] / 3
    while sigma > 0.8:
        total = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
        mean = cv2.GaussianBlur(picture * weight[..., None], (0, 0), sigma) / np.maximum(total, 1e-4)
        result = np.asarray(result + np.clip(6 * total, 0, 1) * (mean - result), dtype=np.float32)
        sigma /= 2
    return np.where(known[..., None], picture, result)
