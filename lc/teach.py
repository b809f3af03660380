"""Teach an attribute from photos: counted, their faces found, none twice; the fit is `lc.few_shot`'s."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lc.edit.space import LatentSpace
from lc.errors import LatentConstraintsError, PhotoError
from lc.faces import Photo, find_photos
from lc.few_shot import encode, fit, reserved
from lc.taught import PARTS, TaughtAttribute, checked_name

__all__ = [
    "FEWEST",
    "MOST",
    "Cancelled",
    "Examples",
    "gather",
    "learn",
    "read_examples",
]

Source: TypeAlias = str | Path | bytes | BinaryIO | Image.Image | Photo

FEWEST, MOST = 5, 200  # photos on a side


class Cancelled(LatentConstraintsError):
    """Teaching was cancelled by its `stop`."""


@dataclass
class Examples:
    """The photos of one side.

    Attributes:
        crops: S x S pixels each, no two alike.
        names: of the photos.
        left_out: photos that could not be used, each with a sentence.
        repeated: how many photos showed the same crop as another.
    """

    crops: list[Image.Image] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    repeated: int = 0


def gather(photos: str | Path | Sequence[Source]) -> list[Source]:
    """The photos in a folder, or those given, counted.

    Raises:
        PhotoError: no such folder.
        LatentConstraintsError: fewer than `FEWEST` or more than `MOST`.
    """
    if isinstance(photos, str | Path):
        found: list[Source] = list(find_photos([photos]).paths)
        where = f"in {photos}"
    else:
        found, where = list(photos), "given"
    if not FEWEST <= len(found) <= MOST:
        many = "few" if len(found) < FEWEST else "many"
        photo = "photo" if len(found) == 1 else "photos"
        raise LatentConstraintsError(
            f"{len(found):,} {photo} {where} are too {many}: teach with {FEWEST} to {MOST}."
            if len(found) != 1
            else f"1 photo {where} is too few: teach with {FEWEST} to {MOST}."
        )
    return found


def read_examples(
    photos: Sequence[Source], crop: Callable[[Source], Image.Image], tick: Callable[[], None]
) -> Examples:
    """Find the face in each photo.

    Args:
        photos: see `gather`.
        crop: a photo -> its aligned crop; raises PhotoError.
        tick: called before each photo; may raise `Cancelled`.
    """
    examples, seen = Examples(), set[str]()
    for photo in photos:
        tick()
        name = str(photo) if isinstance(photo, str | Path) else f"photo {len(seen) + len(examples.left_out) + 1}"
        try:
            found = crop(photo)
        except PhotoError as error:
            examples.left_out.append(f"{name}: {error}")
            continue
        if (key := _fingerprint(found)) in seen:
            examples.repeated += 1
            continue
        seen.add(key)
        examples.crops.append(found)
        examples.names.append(name)
    return examples


def check(positives: Examples, negatives: Examples | None) -> tuple[str, ...]:
    """Sentences on photos that were left out.

    Raises:
        LatentConstraintsError: too few are left, or the same photos are on both sides.
    """
    notes: list[str] = []
    for side, examples in (("with", positives), ("without", negatives)):
        if examples is None:
            continue
        if examples.left_out:
            notes.append(f"Of the photos {side} it, {len(examples.left_out)} could not be used; {examples.left_out[0]}")
        if examples.repeated:
            notes.append(
                f"Of the photos {side} it, {examples.repeated} show the same picture as another: each counts once."
            )
        if (left := len(examples.crops)) < FEWEST:
            faces = "face" if left == 1 else "faces"
            reason = f" {notes[-1]}" if notes else ""
            raise LatentConstraintsError(
                f"The photos {side} it show {left} different {faces}: teach with {FEWEST} or more.{reason}"
            )
    if negatives:
        both = {_fingerprint(one) for one in positives.crops} & {_fingerprint(one) for one in negatives.crops}
        if both:
            photos = "photo is" if len(both) == 1 else "photos are"
            raise LatentConstraintsError(
                f"{len(both)} of the {photos} on both sides: put each into the folder with or the folder without."
            )
    return tuple(notes)


def _fingerprint(crop: Image.Image) -> str:
    return hashlib.sha256(crop.tobytes()).hexdigest()


def learn(
    space: LatentSpace,
    name: str,
    with_: str | Path | Sequence[Source],
    without: str | Path | Sequence[Source] | None,
    *,
    crop: Callable[[Source], Image.Image],
    part: str = "any",
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> TaughtAttribute:
    """Teach from photos; see `lc.editor.FaceEditor.teach`, `read_examples` and `fit`.

    Args:
        crop: finds a photo's face and cuts it out.

    Raises:
        LatentConstraintsError: see `gather`, `check` and `fit`; or there is no such part.
        Cancelled: `stop` said so.
    """
    begun = time.perf_counter()
    checked_name(name, reserved(space.attributes))  # before the photos are read
    if part not in PARTS:
        raise LatentConstraintsError(f"There is no part {part!r}: choose from {', '.join(PARTS)}.")
    sides = [gather(with_)] + ([] if without is None else [gather(without)])
    total, done = sum(map(len, sides)), count()

    def tick() -> None:
        if stop is not None and stop():
            raise Cancelled("Teaching was cancelled; nothing was kept.")
        if progress is not None:
            progress(next(done), total)

    positives, *others = [read_examples(side, crop, tick) for side in sides]
    negatives = others[0] if others else None
    notes = check(positives, negatives)
    given = encode(space, _images(positives.crops, space))
    against = None if negatives is None else encode(space, _images(negatives.crops, space))
    return fit(space, name, given, against, part=part, notes=notes, begun=begun)


def _images(crops: Sequence[Image.Image], space: LatentSpace) -> Tensor:
    pixels = torch.from_numpy(np.stack([np.asarray(crop) for crop in crops]))
    return pixels.permute(0, 3, 1, 2).to(space.sigma_bar.device).float() / 255
