"""A part told from what is around it by its colours, where a parser is unsure: dark hair before a dark wall."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lc.faces.masks import smooth_step, soft

__all__ = ["matted"]

_Floats = npt.NDArray[np.float32]

_SURE, _LIKELY, _NOT = 0.92, 0.5, 0.1  # probabilities of what is the part, probably is, and is not
_LIFT = 0.45  # power of the light: shadows differ by few grey levels
_LIGHT = (40.0, 80.0)  # grey levels from which on it is no matter of shadows
_SIDE = 96  # pixels that it is done at
_LEAST = 30  # pixels of which colours can be learned
_ROUNDS = 2


def matted(probability: _Floats, rgb: _Floats) -> _Floats:
    """Probabilities of a part, less where the colours of what is dark say that it is not there: GrabCut (Rother et al.
    2004).

    Args:
        probability: (S, S) in [0, 1].
        rgb: (S, S, 3) of 0..255.

    Returns:
        (S, S) in [0, 1], `probability` at most, and that itself where it is sure.
    """
    side = min(_SIDE, len(probability))
    small, seen = (cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA) for values in (probability, rgb))
    labels = np.where(small > _LIKELY, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[small > _SURE], labels[small < _NOT] = cv2.GC_FGD, cv2.GC_BGD
    if min((labels == cv2.GC_FGD).sum(), (labels == cv2.GC_BGD).sum()) < _LEAST:
        return probability
    lifted = (255 * (seen.clip(0, 255) / 255) ** _LIFT).astype(np.uint8)
    cv2.setRNGSeed(0)  # of k-means: the same photo gives the same edit
    cv2.grabCut(lifted, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    there = soft((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), 0.7)
    # In the light a parser tells hair from a wall better than colours do.
    there = np.maximum(there, smooth_step(np.asarray(seen, dtype=np.float32).mean(2), *_LIGHT))
    whole = cv2.resize(there, probability.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.where(probability > _SURE, probability, probability * whole), dtype=np.float32)
