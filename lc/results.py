"""What the editor returns: a photo as read, an edit with every stage, a generated face, a step of an optimisation."""

from __future__ import annotations

import io
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from lc.attributes import Strength
from lc.constraints import Constraint
from lc.faces import EDITED, Aligned, Face, Photo, paste, save_picture
from lc.faces.steering import Maps, Steering
from lc.upsampler import Upsampler
from lc.witness import Seen, Witness

__all__ = ["Bytes", "Edit", "Located", "Outcome", "Progress", "Reading", "Sample", "animated"]

_LARGE = 1.25  # pixels of a photo to one of the crop from which on a face has more than the generator draws

#: (h, w, 3), RGB.
Bytes: TypeAlias = npt.NDArray[np.uint8]


class Located(NamedTuple):
    """A photo whose face was found and aligned, and not yet read.

    Attributes:
        photo: the photo.
        faces: what the detector found, largest first; empty for an already aligned crop.
        face: which of them was taken, or None for an aligned crop.
        aligned: the S x S crop and its place in the photo.
    """

    photo: Photo
    faces: list[Face]
    face: Face | None
    aligned: Aligned


@dataclass(frozen=True, eq=False)
class Reading:
    """A photo as the model reads it; S is the image size of its generator. Read once, edit many times.

    Attributes:
        photo: the photo, which is decoded again whenever its pixels are asked for.
        faces: what the detector found, largest first; empty for an already aligned crop.
        face: which of them was taken, or None for an aligned crop.
        aligned: the crop, S x S pixels, and its place in the photo.
        z: (latent,), on the CPU; see `lc.invert`.
        reconstructed: gives decode(z), S x S.
        attributes: D_attr's probabilities.
        wide: the photo around the face, (W, W, 3), see `lc.faces.steering.wide_crop`; None without a parser.
        maps: what the face parser finds there, see `lc.steer.Steerer.parsed`; likewise.
    """

    photo: Photo
    faces: list[Face]
    face: Face | None
    aligned: Aligned
    z: Tensor
    reconstructed: Callable[[], Image.Image]
    attributes: dict[str, float]
    wide: Bytes | None = None
    maps: Maps | None = None

    @property
    def reconstruction(self) -> Image.Image:
        """decode(z), S x S."""
        return self.reconstructed()


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a photo's latent; see `Edit`."""

    edited: Image.Image
    z_edited: Tensor
    after: dict[str, float]
    z_distance: float
    similarity: float | None
    steps: int
    converged: bool
    seconds: float


@dataclass(frozen=True, eq=False)
class Edit:
    """An edited photo with every stage.

    Attributes:
        reading: the photo, its faces, aligned crop, latent and attributes before.
        changes: what was asked for, by the attribute set's names: True, False or a probability.
        outcome: gives what became of the latent, of all photos that were edited together: solved when the first of
            them is asked for it, where `result` can do without.
        drawing: the same of what the generator draws of the edit alone, see `covered`.
        beside: seconds per photo that this took beside `outcome`.
        upsampler: gives what is blended into a large face its resolution; None where the weights hold none.
        warning: a sentence when nearly nobody in the training data has the wanted attributes, when such a change was
            seldom seen on such faces, or when the photo shows too little of what it would recolour.
        constraints: what was asked for beyond `changes`.
        steering: where the edit may act on the photo; None without a parser.
        witness: who reads the finished photo; None where the weights hold none.
        style: which of several forms, of glasses and hats say.
    """

    reading: Reading
    changes: dict[str, Strength]
    outcome: Callable[[], Outcome]
    drawing: Callable[[], Outcome]
    beside: float
    warning: str | None
    constraints: tuple[Constraint, ...] = ()
    steering: Steering | None = None
    witness: Witness | None = None
    style: int = 0
    upsampler: Upsampler | None = None

    @property
    def edited(self) -> Image.Image:
        """decode(z_edited), S x S."""
        return self.outcome().edited

    @property
    def z_edited(self) -> Tensor:
        """(latent,), on the CPU."""
        return self.outcome().z_edited

    @property
    def before(self) -> dict[str, float]:
        """D_attr's probabilities at z."""
        return self.reading.attributes

    @property
    def after(self) -> dict[str, float]:
        """D_attr's probabilities at z_edited."""
        return self.outcome().after

    @property
    def z_distance(self) -> float:
        """Root mean square move, in units of sigma_bar."""
        return self.outcome().z_distance

    @property
    def similarity(self) -> float | None:
        """How similar a person is, as a rule, after such a move: 1 the same picture, 0 two strangers, by a face
        embedding on held-out photos; None where the weights were not calibrated."""
        return self.outcome().similarity

    @property
    def steps(self) -> int:
        """Optimiser steps taken, 0 for the actor."""
        return self.outcome().steps

    @property
    def converged(self) -> bool:
        """Whether the critics see every wanted attribute, and a realistic latent where the optimiser ran."""
        return self.outcome().converged

    @property
    def seconds(self) -> float:
        """Time per photo for this edit, reading and pasting left out."""
        return self.beside + self.outcome().seconds

    @property
    def drawn(self) -> Image.Image:
        """The edited crop that the blend takes the change from, S x S, without what the photo shows without it."""
        return self.drawing().edited

    @property
    def covered(self) -> bool:
        """Whether nothing that the generator draws is seen in `result`: all of the edit is laid onto the photo, or is
        another colour of what is in it."""
        return self.steering is not None and self.steering.alone and not self.steering.shades and bool(self.changes)

    @property
    def result(self) -> Image.Image:
        """The photo at its own size with the change applied; the photo itself, bit for bit, where nothing changed.

        Mode RGB, or RGBA where the photo is transparent, in the photo's own colours: see `Photo.pixels`. Made once for
        as long as somebody holds it: all edits of a session would fill the memory.
        """
        made = self.__dict__.get("_result")
        picture = made() if made is not None else None
        if picture is None:
            picture = self._pasted()
            self.__dict__["_result"] = weakref.ref(picture)
        return picture

    @contextmanager
    def held(self) -> Iterator[Image.Image]:
        """Keep `result` made for the length of a `with` block."""
        with self.reading.photo.held():
            picture = self.result  # a name, for what a frame has no name for goes at once
            yield picture

    @property
    def crop_result(self) -> Image.Image:
        """As `result`, with the model's whole face put in, as blurred as it is, and not only the change."""
        return self._pasted(whole=True)

    @cached_property
    def seen(self) -> Seen | None:
        """What the witness reads in the photo and in `result`; None without one. Pastes and reads once."""
        if self.witness is None:
            return None
        photo, aligned = self.reading.photo, self.reading.aligned
        with photo.held():
            after = photo.to_srgb(self.result.convert("RGB"))
            before = self.witness.first_look(photo, aligned)
            return Seen.between(before, self.witness.look(after, aligned, self.changes))

    @property
    def also_changed(self) -> tuple[str, ...]:
        """The attributes that nobody asked for and that the witness reads the other way round; empty without one."""
        seen = self.seen
        if self.witness is None or seen is None:
            return ()
        asked = self.witness.attributes.changes(self.changes).resolved
        return tuple(name for name in seen.after if name not in asked and seen.turned(name))

    def _pasted(self, *, whole: bool = False) -> Image.Image:
        photo, steering, finish = self.reading.photo, None, None
        if whole:
            pictures = [self.edited]
        elif self.covered:
            steering, pictures = self.steering, [self.reading.aligned.crop] * 2  # of which only the size counts
        else:
            steering, pictures = self.steering, [self.drawn, self.reading.reconstruction]
            replaces = steering is None or not steering.alone
            if self.upsampler and replaces and self.reading.aligned.scale > _LARGE:
                size = (2 * pictures[0].width, 2 * pictures[0].height)
                pictures = [picture.resize(size, Image.Resampling.BICUBIC) for picture in pictures]
                finish = self.upsampler.completed
        with photo.held():
            edited, *before = [photo.to_own(picture) for picture in pictures]
            old = before[0] if before else None
            picture = paste(photo.pixels, edited, self.reading.aligned, old, steering, finish)
            if photo.alpha is not None:
                picture.putalpha(photo.alpha)
            return picture

    def save(self, path: str | Path) -> None:
        """Write `result` with the photo's EXIF and colour profile, and a note that it was edited.

        Args:
            path: ends with .png (every pixel kept), .jpg, .webp, .tif or .bmp.

        Raises:
            PhotoError: another ending.
            OSError: the file cannot be written.
        """
        save_picture(self.result, Path(path), EDITED, self.reading.photo)


@dataclass(frozen=True, eq=False)
class Sample:
    """A generated face.

    Attributes:
        image: as it is shown, S x S, or 2S x 2S where the weights hold what enlarges it.
        decoded: decode(z), S x S.
        z: (latent,), on the CPU.
        wanted: the label vector it was made for.
        attributes: D_attr's probabilities.
    """

    image: Image.Image
    decoded: Image.Image
    z: Tensor
    wanted: dict[str, bool]
    attributes: dict[str, float]


@dataclass(frozen=True, eq=False)
class Progress:
    """One step of a live optimisation: the face so far, each constraint's energy, and on the last one the edit."""

    index: int
    preview: Image.Image | None
    energies: dict[str, float]
    edit: Edit | None


def animated(faces: Sequence[Image.Image], side: int = 256, pause: int = 80) -> bytes:
    """The faces of a trajectory as an animated WebP, which rests on the last one.

    Args:
        faces: at least one.
        side: pixels.
        pause: milliseconds per face.
    """
    first, *rest = [face.resize((side, side), Image.Resampling.BICUBIC) for face in faces]
    file = io.BytesIO()
    pauses = [pause] * len(rest) + [20 * pause]
    first.save(file, "WEBP", save_all=True, append_images=rest, duration=pauses, loop=0, quality=85, method=2)
    return file.getvalue()
