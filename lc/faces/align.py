"""Photo pixels to the square crop the model sees, and the matrix that leads back.

Coordinates are continuous: (0, 0) is the outer corner of the top left pixel and (0.5, 0.5) its centre, so a
crop of 64 pixels spans 0..64. This is the convention of Pillow's `resize(box=...)` and `transform`.

>>> aligned = align(Image.new("RGB", FRAME_SIZE), TEMPLATE, size=64)
>>> aligned.crop.size, round(aligned.scale, 4)  # 148 pixels of CelebA's frame become 64
((64, 64), 2.3125)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lc.errors import PhotoError

__all__ = ["FRAME_BOX", "FRAME_SIZE", "TEMPLATE", "Aligned", "align", "fit", "frame_crop", "turn_of", "warp"]

Array: TypeAlias = npt.NDArray[np.float64]

FRAME_SIZE = (178, 218)  # width, height of CelebA's aligned pictures
FRAME_BOX = (15.0, 35.0, 163.0, 183.0)  # left, top, right, bottom of the square the model sees in them

# Where the five landmarks (see detect.Face) lie in CelebA's frame: the mean of what FaceDetector finds in 2987
# of CelebA's own pictures (every third of 9000, at 89x109, doubled).
TEMPLATE: Array = np.array([[69.6, 111.7], [108.4, 111.7], [88.7, 135.8], [71.6, 152.9], [106.4, 152.9]])

# How much each landmark counts. CelebA was framed by its eyes alone; the mouth steadies the detector's noise on
# them, and the nose, which moves sideways when the head turns, adds more error than it takes away.
_WEIGHTS: Array = np.array([1.0, 1.0, 0.0, 0.5, 0.5])

_NOSE = 1.5  # sine of a turn, by how far the nose moves beside the middle of the face, in parts of the eyes' distance

_MARGIN = 2  # crop pixels that the bicubic kernel reaches past the crop's edge


@dataclass(frozen=True, eq=False)
class Aligned:
    """A face in the model's framing.

    Attributes:
        crop: size x size, mode RGB.
        matrix: (2, 3) similarity from crop coordinates to photo coordinates: photo = matrix @ (x, y, 1).
        scale: photo pixels per crop pixel.
    """

    crop: Image.Image
    matrix: Array
    scale: float


def align(rgb: Image.Image, landmarks: npt.NDArray[np.floating], size: int) -> Aligned:
    """Turn, scale and shift a face into CelebA's framing.

    Args:
        rgb: the photo; where the crop reaches past its border, the photo is mirrored there.
        landmarks: (5, 2) photo coordinates, ordered as in `detect.Face`.
        size: side of the crop, in pixels.

    Raises:
        PhotoError: the landmarks fall on one point, or are not numbers.
    """
    matrix = fit(landmarks, size)
    return Aligned(warp(rgb, matrix, size), matrix, _scale(matrix))


def frame_crop(rgb: Image.Image, size: int) -> Aligned:
    """Crop a picture that already has CelebA's framing, at any resolution (178x218, 89x109, ...).

    Raises:
        PhotoError: the picture's width / height is more than 2 % from CelebA's.
    """
    width, height = rgb.size
    expected = FRAME_SIZE[0] / FRAME_SIZE[1]
    if abs(width / height / expected - 1) > 0.02:
        raise PhotoError(
            "A {width}x{height} picture is not a CelebA crop (178x218); leave --aligned off to find the face.",
            width=width,
            height=height,
        )
    side = width * (FRAME_BOX[2] - FRAME_BOX[0]) / FRAME_SIZE[0]
    left, top = (width - side) / 2, (height - side) / 2
    scale = side / size
    matrix = np.array([[scale, 0.0, left], [0.0, scale, top]])
    return Aligned(warp(rgb, matrix, size), matrix, scale)


def fit(landmarks: npt.NDArray[np.floating], size: int) -> Array:
    """The similarity that takes the template's landmarks nearest to these: (5, 2) -> (2, 3), crop to photo.

    Weighted least squares (Umeyama, 1991), which in two dimensions is a regression between complex numbers: a
    factor for turning and scaling, and an offset.

    Raises:
        PhotoError: see `align`.
    """
    crop = (TEMPLATE - FRAME_BOX[:2]) * (size / (FRAME_BOX[2] - FRAME_BOX[0]))
    x, y = crop @ (1, 1j), np.asarray(landmarks, dtype=np.float64) @ (1, 1j)
    x0, y0 = np.average(x, weights=_WEIGHTS), np.average(y, weights=_WEIGHTS)
    factor = np.sum(_WEIGHTS * (x - x0).conj() * (y - y0)) / np.sum(_WEIGHTS * np.abs(x - x0) ** 2)
    if not abs(factor) > 1e-6:
        raise PhotoError("The five landmarks do not span a face; choose another face or photo.")
    offset = y0 - factor * x0
    return np.array([[factor.real, -factor.imag, offset.real], [factor.imag, factor.real, offset.imag]])


def turn_of(landmarks: npt.NDArray[np.floating]) -> float:
    """How far a head is turned: the sine of its turn to the picture's right, by where the nose is, in -1 to 1.

    Args:
        landmarks: (5, 2), ordered as in `detect.Face`.

    Returns:
        In the middle of 125 photos it is what the borders of the skin say; 0 where the landmarks span no face.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    (x, y), (along, down), apart = points[2] - eyes, mouth - eyes, float(np.hypot(*(points[1] - points[0])))
    length = float(np.hypot(along, down))
    return float(np.clip(_NOSE * (x * down - y * along) / (length * apart), -1, 1)) if length * apart > 0 else 0.0


def warp(
    rgb: Image.Image,
    matrix: Array,
    size: int,
    mirrored: float = math.inf,
    *,
    oversampling: int = 4,
    quick: bool = False,
) -> Image.Image:
    """Sample a size x size crop through a similarity, without aliasing.

    Past the photo's border its mirror images go on, for so many pixels of the crop as are to be `mirrored`; then what
    is there goes on.

    Interpolation between neighbours would skip pixels when it shrinks. So turn at about the photo's own resolution,
    then shrink with `resize`, which averages.

    Args:
        rgb, matrix, size, mirrored: see above.
        oversampling: steps of the turn to a pixel of the crop, at most; a larger face is shrunk by whole pixels first.
        quick: let OpenCV turn in Pillow's place: in less than half of the time, and about half a grey level off, which
            nets would read.
    """
    scale = _scale(matrix)
    if not quick and matrix[0, 0] > 0 and not matrix[0, 1] and not matrix[1, 0]:
        return _resized(rgb, matrix, size, mirrored * scale)
    corners = np.array([[-_MARGIN, size + _MARGIN, -_MARGIN, size + _MARGIN]])
    corners = matrix @ np.vstack([corners, corners[:, [0, 2, 1, 3]], np.ones((1, 4))])  # (2, 4)
    low, high = np.floor(corners.min(1)).astype(int) - 2, np.ceil(corners.max(1)).astype(int) + 2
    region = _continued(rgb, (low[0], low[1], high[0], high[1]), mirrored * scale)
    # To shrink by whole pixels is the cheapest way.
    shrink = max(1, int(scale / oversampling))
    if shrink > 1:
        region = region.reduce(shrink)
    # What is averaged afterwards may skip a few pixels where that is to be quick.
    steps = max(1, (round if quick else math.ceil)(scale / shrink))
    linear = matrix[:, :2] / (steps * shrink)
    shift = (matrix[:, 2] - low - _MARGIN * matrix[:, :2].sum(1)) / shrink
    side, edge = (size + 2 * _MARGIN) * steps, _MARGIN * steps
    if quick:
        shift += (linear.sum(1) - 1) / 2  # OpenCV's pixels have their middles at whole numbers
        onto, how = np.column_stack([linear, shift]), cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        turned = cv2.warpAffine(np.asarray(region), onto, (side, side), flags=how, borderMode=cv2.BORDER_REPLICATE)
        inner = turned[edge : side - edge, edge : side - edge]
        averaged = cv2.resize(inner, (size, size), interpolation=cv2.INTER_AREA) if steps > 1 else inner
        return Image.fromarray(np.asarray(averaged, dtype=np.uint8))
    onto = np.column_stack([linear, shift])
    canvas = region.transform((side, side), Image.Transform.AFFINE, onto.ravel().tolist(), Image.Resampling.BICUBIC)
    return canvas.resize((size, size), Image.Resampling.BICUBIC, box=(edge, edge, side - edge, side - edge))


def _resized(rgb: Image.Image, matrix: Array, size: int, mirrored: float) -> Image.Image:
    """`warp` for a similarity that does not turn, whose crop is a box of the photo."""
    scale, corner = matrix[0, 0], matrix[:, 2]
    around = math.ceil(2 * max(scale, 1))  # as far as its filter reaches
    low, high = np.floor(corner).astype(int) - around, np.ceil(corner + size * scale).astype(int) + around
    region = _continued(rgb, (low[0], low[1], high[0], high[1]), mirrored)
    (left, top), (right, bottom) = corner - low, corner - low + size * scale
    return region.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, right, bottom))


def _scale(matrix: Array) -> float:
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def _continued(rgb: Image.Image, box: tuple[int, int, int, int], mirrored: float) -> Image.Image:
    """Crop a box that may reach past the photo, whose mirror images, for so many pixels, continue it."""
    left, top, right, bottom = box
    if left >= 0 and top >= 0 and right <= rgb.width and bottom <= rgb.height:
        return rgb.crop(box)
    columns, rows = (
        _inside(np.arange(first, last), size, mirrored)
        for first, last, size in ((left, right, rgb.width), (top, bottom, rgb.height))
    )
    # All of a large photo takes long to copy.
    seen = rgb.crop((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    return Image.fromarray(np.asarray(seen).take(columns - columns.min(), 1).take(rows - rows.min(), 0))


def _inside(places: npt.NDArray[np.signedinteger], size: int, mirrored: float) -> npt.NDArray[np.signedinteger]:
    """For each place on a line that goes on past a photo of `size` pixels, the pixel that is shown there."""
    if math.isfinite(mirrored):
        places = places.clip(-round(mirrored), size - 1 + round(mirrored))
    places = places % (2 * size)
    return np.minimum(places, 2 * size - 1 - places)
