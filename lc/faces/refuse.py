"""Say of a face why it cannot be edited, where the model would only make a mess of it."""

from __future__ import annotations

import numpy as np

from lc.errors import Sentence
from lc.faces.align import Aligned
from lc.faces.detect import Face

__all__ = ["refusal"]

# Where the nose's tip lies between the eyes, 0 the left and 1 the right one: 0.5 in a frontal face. Both limits are
# those beyond which MTCNN's far eye on photos of LFW is a guess.
_NOSE = (0.0, 1.0)
_NARROW = 0.6  # least distance of the eyes, in parts of that from eyes to mouth: 0.94 in a frontal face
_TONES = 8.0  # least standard deviation of the crop's luma, in grey levels


def refusal(face: Face, aligned: Aligned) -> Sentence | None:
    """Why a face cannot be edited, as the rest of a sentence that begins with "The face"; None if it can.

    Args:
        face: as detected.
        aligned: its crop.
    """
    left, right, nose = face.landmarks[:3]
    eyes, down = right - left, face.landmarks[3:].mean(0) - face.landmarks[:2].mean(0)
    length = float(np.hypot(*eyes))
    place = float((nose - left) @ eyes) / max(length, 1e-9) ** 2
    if not _NOSE[0] <= place <= _NOSE[1] or length < _NARROW * float(np.hypot(*down)):
        return Sentence("is turned too far to the side: use a photo where it looks towards the camera")
    if float(np.asarray(aligned.crop.convert("L"), dtype=np.float64).std()) < _TONES:
        return Sentence("is too dark or too washed out to be read: use a photo in better light")
    return None
