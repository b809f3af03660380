"""Photo pixels to the square crop the model sees, and the matrix that leads back.

Coordinates are continuous: (0, 0) is the outer corner of the top left pixel and (0.5, 0.5) its centre, so a crop of
64 pixels spans [0, 64]. This is the convention of Pillow's `resize(box=...)` and `transform`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from lc.errors import PhotoError

__all__ = ["FRAME_BOX", "FRAME_SIZE", "Aligned", "frame_crop"]

FRAME_SIZE = (178, 218)  # width, height of CelebA's aligned pictures
FRAME_BOX = (15.0, 35.0, 163.0, 183.0)  # left, top, right, bottom of the square the model sees in them


@dataclass(frozen=True)
class Aligned:
    """A face in the model's framing.

    Attributes:
        crop: size x size, mode RGB.
        matrix: (2, 3) similarity from crop coordinates to photo coordinates: photo = matrix @ (x, y, 1).
        scale: photo pixels per crop pixel.
    """

    crop: Image.Image
    matrix: npt.NDArray[np.float64]
    scale: float


def frame_crop(rgb: Image.Image, size: int = 64) -> Aligned:
    """Crop a picture that already has CelebA's framing, at any resolution (178x218, 89x109, ...).

    Raises:
        PhotoError: the picture's width / height is more than 2 % from CelebA's.
    """
    width, height = rgb.size
    expected = FRAME_SIZE[0] / FRAME_SIZE[1]
    if abs(width / height / expected - 1) > 0.02:
        raise PhotoError(
            f"The picture is {width}x{height} and so not a CelebA crop (178x218); leave --aligned off to find its face."
        )
    side = width * (FRAME_BOX[2] - FRAME_BOX[0]) / FRAME_SIZE[0]
    left, top = (width - side) / 2, (height - side) / 2
    crop = rgb.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    scale = side / size
    return Aligned(crop, np.array([[scale, 0.0, left], [0.0, scale, top]]), scale)
