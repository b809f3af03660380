"""Pixels to the 64x64 crop and back: read a photo, find its faces, align one, paste it back."""

from lc.faces.align import Aligned, frame_crop
from lc.faces.photo import Photo, iter_photos, read_photo

__all__ = ["Aligned", "Photo", "frame_crop", "iter_photos", "read_photo"]
