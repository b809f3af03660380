"""A photo and the maps of its face, as toys: hair above a face on background."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lc.faces import Aligned
from lc.faces.steering import MARGIN
from lc.parser import CLASSES

SIDE = 64
WIDE = round(SIDE * (1 + 2 * MARGIN))


def maps(side: int, **boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Class maps with these boxes (left, top, right, bottom) on background."""
    found = np.zeros((len(CLASSES), side, side), np.uint8)
    found[0] = 255
    for name, (left, top, right, bottom) in boxes.items():
        found[:, top:bottom, left:right] = 0
        found[CLASSES.index(name), top:bottom, left:right] = 255
    return found


# A photo of 96x96 whose middle is the crop: hair above a face.
PHOTO = Image.fromarray(np.random.default_rng(0).integers(90, 130, (96, 96, 3), dtype=np.uint8))
MATRIX = np.array([[1.0, 0, 16], [0, 1, 16]])
ALIGNED = Aligned(PHOTO.crop((16, 16, 80, 80)), MATRIX, 1.0)
BEFORE = maps(WIDE, hair=(30, 20, 66, 40), skin=(34, 40, 62, 80))
AFTER = maps(SIDE, hair=(14, 4, 50, 24), skin=(18, 24, 46, 64))
