"""Pixels to the aligned crop and back: read a photo, find its faces, align one, paste it back, and save."""

from lc.faces.align import Aligned, align, frame_crop
from lc.faces.blend import paste
from lc.faces.detect import Face, FaceDetector, detector
from lc.faces.inputs import Inputs, count_pixels, find_photos, iter_photos
from lc.faces.photo import Photo, open_photo, read_photo
from lc.faces.refuse import refusal
from lc.faces.save import EDITED, GENERATED, SUFFIXES, PictureFormat, encode_picture, on_white, save_picture

__all__ = [
    "EDITED",
    "GENERATED",
    "SUFFIXES",
    "Aligned",
    "Face",
    "FaceDetector",
    "Inputs",
    "Photo",
    "PictureFormat",
    "align",
    "count_pixels",
    "detector",
    "encode_picture",
    "find_photos",
    "frame_crop",
    "iter_photos",
    "on_white",
    "open_photo",
    "paste",
    "read_photo",
    "refusal",
    "save_picture",
]
