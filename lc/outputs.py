"""Where the command line's results go, what they are called, and what is written beside them."""

from __future__ import annotations

import math
import mimetypes
import os
import re
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from PIL import Image

from lc.errors import LatentConstraintsError
from lc.faces import EDITED, SUFFIXES, save_picture
from lc.files import write_json
from lc.results import Edit

__all__ = ["grid", "is_picture", "save_stages", "targets_of"]

_STAGES = ("aligned", "reconstruction", "edited")


def is_picture(out: str, single: bool = False) -> bool:
    """Whether `out` names a picture file; if not, it names a folder.

    Args:
        out: as it was given.
        single: there is one photo, so that it would be a picture rather than a folder.

    Raises:
        LatentConstraintsError: it names neither, or is likely to be a slip.
    """
    path = Path(out)
    if path.is_dir() or out.endswith(("/", os.sep)):
        return False
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    # "faces.txt" and "face.jpgg" are mistakes, while "identity-0.5" is a folder.
    known = mimetypes.guess_type(f"x{suffix}", strict=False)[0] or get_close_matches(suffix, SUFFIXES, cutoff=0.7)
    if path.exists() or known or (single and re.fullmatch(r"\.[a-z]\w*", suffix)):
        raise LatentConstraintsError(
            f"{out} is neither a folder nor a picture: end it with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, "
            "or with / if a folder is meant."
        )
    return False


def targets_of(paths: Sequence[Path], out: Path, one_picture: bool, stages: bool) -> list[Path]:
    """The result file of each photo: no two alike, and none of them one of the photos in a folder.

    Raises:
        LatentConstraintsError: `out` does not fit the photos.
    """
    if one_picture:
        if len(paths) > 1:
            raise LatentConstraintsError(f"There are {len(paths)} photos but {out} is one picture: name a folder.")
        return [out]
    endings = [".png"] + [f".{stage}.png" for stage in _STAGES if stages] + [".json"] * stages
    folder = out.resolve()
    # Compared without case, as the file systems of macOS and Windows do.
    taken = {path.name.casefold() for path in paths if path.resolve().parent == folder}
    numbers: Counter[str] = Counter()
    targets: list[Path] = []
    for path in paths:
        stem = path.stem
        while not taken.isdisjoint(names := {(stem + ending).casefold() for ending in endings}):
            numbers[path.stem] += 1
            stem = f"{path.stem}-{numbers[path.stem] + 1}"
        taken |= names
        targets.append(out / f"{stem}.png")
    return targets


def save_stages(edit: Edit, target: Path, settings: dict[str, Any]) -> None:
    """Write the stages, as large as the model draws, and the figures beside the result."""
    reading = edit.reading
    pictures = (reading.aligned.crop, None), (reading.reconstruction, EDITED), (edit.edited, EDITED)
    for stage, (image, note) in zip(_STAGES, pictures, strict=True):
        save_picture(image, target.with_name(f"{target.stem}.{stage}.png"), note)
    figures = {
        **settings,
        "face_box": list(reading.face.box) if reading.face else None,
        "before": edit.before,
        "after": edit.after,
        "z_distance": edit.z_distance,
        "steps": edit.steps,
        "converged": edit.converged,
        "seen": edit.seen and edit.seen.after,
        "also_changed": list(edit.also_changed),
        "seconds": edit.seconds,
        "warning": edit.warning,
    }
    write_json(target.with_name(f"{target.stem}.json"), figures)


def grid(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size as a near square, row by row."""
    columns = math.ceil(math.sqrt(len(images)))
    width, height = images[0].size
    grid = Image.new("RGB", (columns * width, math.ceil(len(images) / columns) * height), "white")
    for i, image in enumerate(images):
        grid.paste(image, (i % columns * width, i // columns * height))
    return grid
