"""Pictures as files that the browser fetches."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from lc.editor import Edit, Sample
from lc.faces import EDITED, GENERATED, Photo, PictureFormat, encode_picture
from lc.results import animated
from lc.ui.storage import Folder

__all__ = ["Pictures", "encoded"]

_ENDINGS: dict[PictureFormat, str] = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}


class Pictures:
    """Writes pictures into the app's folder; each method returns a path.

    Args:
        folder: the app's.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def jpeg(self, image: Image.Image) -> str:
        """For display: at 12 megapixels 60 ms, where Gradio's own WebP takes over a second."""
        return self._folder.write(encoded(image, "JPEG", quality=92), "picture.jpg")

    def refresh(self, path: str) -> bool:
        """Count a picture as new; False where it is not here any more."""
        return self._folder.refresh(path)

    def edited(self, edit: Edit, kind: PictureFormat = "PNG") -> str:
        """To keep, marked as edited for whoever finds it later."""
        return self.finished(edit.result, edit.reading.photo, kind)

    def finished(self, picture: Image.Image, photo: Photo, kind: PictureFormat) -> str:
        """As `edited`: a photo's edited pixels, with what its file says of it."""
        file = io.BytesIO()
        encode_picture(picture, file, kind, EDITED, photo)
        return self._folder.write(file.getvalue(), f"{Path(photo.name).stem}-edited.{_ENDINGS[kind]}")

    def sample(self, sample: Sample) -> str:
        """A made-up face to keep."""
        file = io.BytesIO()
        encode_picture(sample.image, file, "PNG", GENERATED)
        return self._folder.write(file.getvalue(), "face.png")

    def film(self, faces: Sequence[Image.Image], name: str) -> str:
        """A walk as an animated WebP."""
        return self._folder.write(animated(faces), f"{Path(name).stem}-walk.webp")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture's bytes as a file of that kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
