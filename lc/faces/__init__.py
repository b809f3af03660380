"""Pixels to the 64x64 crop and back: read a photo, find its faces, align one, paste it back."""

from lc.faces.align import Aligned, align, frame_crop
from lc.faces.blend import paste
from lc.faces.detect import Face, FaceDetector, detector
from lc.faces.photo import Photo, iter_photos, read_photo

__all__ = [
    "Aligned",
    "Face",
    "FaceDetector",
    "Photo",
    "align",
    "detector",
    "frame_crop",
    "iter_photos",
    "paste",
    "read_photo",
]
