"""The one place where edits are made to be measured: photos read once, and each change made of those that lack it.

Every table takes its edits from here: a photo goes through FaceEditor as a user's does, and comes back as the finished
photo, at its own size, in which the face is found again for whoever reads it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from lc.editor import Edit, FaceEditor, Method, Reading
from lc.errors import PhotoError
from lc.faces import Aligned, Face, align, detector, iter_photos, read_photo
from lc.faces.align import warp
from lc.results import Located
from train.attributes import ATTRIBUTES
from train.data import DataError, find, framed_crop, to_tensor, to_unit
from train.latents import DIRECTIONS
from train.layouts import PARTS

__all__ = [
    "Batch",
    "Direction",
    "Finished",
    "before",
    "cut",
    "finished",
    "key",
    "lacking",
    "make",
    "paths_of",
    "read_framed",
    "read_photos",
    "recut",
    "tensor",
    "view",
]

#: An attribute and whether it is wanted: one of `train.latents.DIRECTIONS`.
Direction: TypeAlias = tuple[str, bool]

_NEAR = 0.5  # of a face's width: further from where it was, a face is another one


def key(direction: Direction) -> str:
    """How tables and files name a direction.

    >>> key(("Bald", True))
    'Bald=1'
    """
    return f"{direction[0]}={int(direction[1])}"


def tensor(pictures: Sequence[Image.Image]) -> Tensor:
    """Pictures of one size -> (N, 3, S, S) in [0, 1]."""
    return to_unit(to_tensor(list(pictures)))


# --- photos ----------------------------------------------------------------------------------------------------------


def read_framed(editor: FaceEditor, root: Path, names: Sequence[str]) -> list[Reading]:
    """Photos of a labelled set, located by their framing and not by the detector.

    Args:
        root: a folder that `train.layouts.find` knows.
        names: file names in it.

    Raises:
        DataError: a picture of another framing.
    """
    folder, size = find(root).photos, editor.model.generator.image_size
    located: list[Located] = []
    for name in tqdm(names, desc="read photos", leave=False):
        photo = read_photo(folder / name)
        located.append(Located(photo, [], None, framed_crop(photo.rgb, folder.name, size)))
    return editor.read_located(located)


def paths_of(folder: Path, part: str = "validation") -> list[Path]:
    """Photos to take: of a folder with a list of parts and images/ those of the part, of any other all.

    Raises:
        DataError: there are none.
    """
    listed, images = folder / "list_eval_partition.txt", folder / "images"
    if listed.is_file() and images.is_dir():
        rows = [line.split() for line in listed.read_text().splitlines() if line.strip()]
        names = {row[0].partition(".")[0] for row in rows if row[1] == str(PARTS[part])}
        found = sorted(path for path in images.iterdir() if path.stem in names)
    else:
        found = iter_photos([folder])
    if not found:
        raise DataError(f"{folder} holds no photos to measure: name a folder of face photos.")
    return found


def read_photos(
    editor: FaceEditor, folder: Path, count: int, seed: int = 0, part: str = "validation"
) -> tuple[list[Reading], list[str]]:
    """Whole photos, drawn by chance and read as a user's are: the detector finds the face.

    Returns:
        The readings, and for each photo that was refused the sentence that says why.
    """
    paths = paths_of(folder, part)
    random.Random(seed).shuffle(paths)
    readings: list[Reading] = []
    refused: list[str] = []
    for path in tqdm(paths[:count], desc="read photos", leave=False):
        try:
            readings.append(editor.read(path))
        except PhotoError as error:
            refused.append(str(error))
    return readings, refused


# --- edits -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """The edits of one direction.

    Attributes:
        rows: which of the photos.
        edits: of these, in the same order.
    """

    direction: Direction
    rows: list[int]
    edits: list[Edit]


def lacking(has: Tensor, most: int | None = None) -> dict[Direction, list[int]]:
    """For each direction the photos that lack what it wants, the first `most` of them; none where nobody does.

    Args:
        has: (N, A) bool, the photos' attributes as somebody reads them.
    """
    found: dict[Direction, list[int]] = {}
    for name, wanted in DIRECTIONS:
        rows = torch.nonzero(has[:, ATTRIBUTES.index(name)] != wanted)[:, 0][:most].tolist()
        if rows:
            found[name, wanted] = rows
    return found


def make(
    editor: FaceEditor,
    readings: Sequence[Reading],
    rows: Mapping[Direction, Sequence[int]],
    identity: float,
    method: Method,
    title: str = "",
) -> Iterator[Batch]:
    """Edit photos in one direction after another.

    Args:
        readings: all the photos.
        rows: for each direction the photos to edit in it, see `lacking`.
        identity: place of the identity slider.
        title: of the progress bar.
    """
    for (name, wanted), chosen in tqdm(rows.items(), desc=title or f"edits, {method}", leave=False):
        edits = editor.edit_many([readings[i] for i in chosen], {name: wanted}, identity, method)
        yield Batch((name, wanted), list(chosen), edits)


# --- the finished photo ----------------------------------------------------------------------------------------------


def recut(edit: Edit) -> Image.Image:
    """The face cut out of the finished photo as it was cut out of the photo, at the model's size."""
    return cut(edit.result.convert("RGB"), edit.reading, edit.edited.width)


def cut(picture: Image.Image, reading: Reading, side: int) -> Image.Image:
    """The picture, which shows the reading's photo, cut as that was, side x side."""
    matrix, size = reading.aligned.matrix, reading.aligned.crop.width
    if reading.face is None and not matrix[0, 1]:  # framed: cut as `train.data.framed_crop` does
        left, top, wide = matrix[0, 2], matrix[1, 2], matrix[0, 0] * size
        return picture.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + wide, top + wide))
    return view(picture, reading.aligned, side)


def view(picture: Image.Image, aligned: Aligned, side: int) -> Image.Image:
    """The picture under a crop, at another size."""
    matrix = aligned.matrix.copy()
    matrix[:, :2] *= aligned.crop.width / side
    return warp(picture, matrix, side)


@dataclass(frozen=True, eq=False)
class Finished:
    """A photo before or after an edit, with its face.

    Attributes:
        picture: mode RGB, the photo's size.
        reading: the photo as it was read for the edit.
        redetect: look for the face again, as anybody who is given the picture has to.
    """

    picture: Image.Image
    reading: Reading
    redetect: bool

    @cached_property
    def face(self) -> Aligned | None:
        """Where the detector finds the face again; None where it is not asked or finds none nearby."""
        old = self.reading.face
        if not self.redetect or old is None:
            return None
        there, width = old.landmarks.mean(0), old.box[2] - old.box[0]
        near = [face for face in detector().detect(self.picture) if _off(face, there) < _NEAR * width]
        if not near:
            return None
        nearest = min(near, key=lambda face: _off(face, there))
        try:
            return align(self.picture, nearest.landmarks, self.reading.aligned.crop.width)
        except PhotoError:
            return None

    @property
    def lost(self) -> bool:
        """The detector was asked and found no face where there was one."""
        return self.redetect and self.reading.face is not None and self.face is None

    def crop(self, side: int) -> Image.Image:
        """The face in the model's framing for a reader, side x side, drawn from the photo at its full resolution."""
        return cut(self.picture, self.reading, side) if self.face is None else view(self.picture, self.face, side)


def _off(face: Face, there: np.ndarray) -> float:
    return float(np.linalg.norm(face.landmarks.mean(0) - there))


def before(reading: Reading) -> Finished:
    """The photo as it came in; its face is where it was found."""
    return Finished(reading.photo.rgb, reading, redetect=False)


def finished(edit: Edit, redetect: bool = True) -> Finished:
    """The photo as a user gets it back."""
    return Finished(edit.result.convert("RGB"), edit.reading, redetect)
