"""A photo's face, found and aligned: pixels only, before any network of the model sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from lc.errors import NoFaceError, Sentence
from lc.faces import Aligned, Face, Photo, align, detector, frame_crop, read_photo, refusal
from lc.numbers import MAX_SEED, whole_number
from lc.results import Located

__all__ = ["Source", "locate", "take"]

#: What can be read as a photo.
Source = str | Path | bytes | BinaryIO | Image.Image | Photo


def locate(photo: Source, image_size: int, *, face: int | None = None, aligned: bool = False) -> Located:
    """Find the face and align it.

    Args:
        photo: a path, bytes, an open file, a Pillow image, or a Photo.
        image_size: side of the crop, in pixels.
        face: which face, 0 the largest; None: the largest that can be edited, see `lc.faces.refusal`.
        aligned: the photo already is a CelebA-framed crop (178x218, 89x109): look for no face.

    Raises:
        PhotoError: unreadable, or not framed as claimed.
        NoFaceError: no face, fewer than asked for, or one that cannot be edited.
    """
    picture = photo if isinstance(photo, Photo) else read_photo(photo)
    if aligned:
        return Located(picture, [], None, frame_crop(picture.rgb, image_size))
    with picture.held():
        faces = detector().detect(picture.rgb)
        if not faces:
            raise NoFaceError(
                "No face was found in {name}: use a photo where a face looks towards the camera, is well lit and at "
                "least 40 pixels wide.",
                name=picture.name,
            )
        return Located(picture, faces, *take(picture, faces, image_size, face))


def take(photo: Photo, faces: Sequence[Face], image_size: int, face: int | None = None) -> tuple[Face, Aligned]:
    """One of a photo's faces and its crop. Arguments and errors are those of `locate`."""
    face = None if face is None else whole_number(face, -MAX_SEED)
    if face is not None and not 0 <= face < len(faces):
        raise NoFaceError(
            "{name} has {count} face(s): there is no face {number}.",
            name=photo.name,
            count=len(faces),
            number=face + 1,
        )
    first: Sentence | None = None
    rgb = photo.rgb
    for chosen in faces if face is None else [faces[face]]:
        aligned = align(rgb, chosen.landmarks, image_size)
        reason = refusal(chosen, aligned)
        if reason is None:
            return chosen, aligned
        first = first or reason
    raise NoFaceError("The face in {name} {reason}.", name=photo.name, reason=first)
