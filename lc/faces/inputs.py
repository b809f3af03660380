"""Which photos a command line means: files, and folders with what must be left out of them."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from lc.errors import PhotoError
from lc.faces.photo import _REFUSED_FORMATS, _open_image
from lc.faces.save import EDITED

__all__ = ["Inputs", "count_pixels", "find_photos", "iter_photos"]

# Suffixes of photos that Pillow may not read: who has them in a folder would miss them.
# fmt: off
_CAMERAS = frozenset({
    ".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng",
    ".erf", ".fff", ".gpr", ".iiq", ".kdc", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2",
    ".rwl", ".sr2", ".srf", ".srw", ".x3f",
})
# fmt: on
_NO_FILE = "a pipe, a device or a socket is no photo; save the picture to a file and name that"


@dataclass
class Inputs:
    """What was found.

    Attributes:
        paths: the photos to take, in the order given, those of a folder sorted.
        left_out: what looks like a photo in a folder and cannot be taken, each with the reason, a sentence without its
            full stop.
        results: how many pictures of the output folder this program wrote, where that folder is an input too.
    """

    paths: list[Path] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    results: int = 0


def iter_photos(inputs: Iterable[str | Path]) -> list[Path]:
    """The photos among files and folders; see `find_photos`."""
    return find_photos(inputs).paths


def find_photos(inputs: Iterable[str | Path], out: Path | None = None) -> Inputs:
    """Expand files and folders into files, in the order given.

    A file is taken as it is. A folder is searched recursively for the suffixes that Pillow can open; hidden files
    (macOS leaves `._name.jpg` twins) are passed over.

    Args:
        inputs: files and folders.
        out: a folder that results go to. Where it lies in a folder of `inputs`, nothing in it is taken; where it is one
            of them, what this program wrote there is not.

    Raises:
        PhotoError: a path that does not exist, or that is neither file nor folder.
    """
    found = Inputs()
    readable = _readable_suffixes()
    for item in map(Path, inputs):
        if item.is_dir():
            _search(item, readable, out and out.resolve(), found)
        elif item.is_file():
            found.paths.append(item)
        elif item.exists():
            raise PhotoError(f"{item}: {_NO_FILE}.")
        else:
            raise PhotoError(f"{item} does not exist; check the path.")
    return found


def count_pixels(path: Path) -> int:
    """Width times height by a file's header; 1 where there is none to be read, which `read_photo` will say."""
    try:
        with path.open("rb") as file:
            return max(1, math.prod(_open_image(file, path.name, sys.maxsize).size))
    except (PhotoError, OSError):
        return 1


def _readable_suffixes() -> frozenset[str]:
    Image.init()
    kinds = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in kinds if kind in Image.OPEN and kind not in _REFUSED_FORMATS)


def _search(folder: Path, readable: frozenset[str], out: Path | None, found: Inputs) -> None:
    """Sort what a folder holds into `found`."""
    real = folder.resolve()
    paths: list[Path] = []
    for path, error in _walk(folder):
        suffix = path.suffix.lower()
        if error:
            found.left_out.append((path, "the folder cannot be opened; check its permissions"))
            continue
        if path.name.startswith(".") or suffix not in readable | _CAMERAS:
            continue
        inside = out is not None and out in path.resolve().parents
        if inside and out != real and real in out.parents:  # type: ignore[union-attr]
            continue
        if not path.is_file():
            broken = path.is_symlink() and not path.exists()
            found.left_out.append((path, "the link leads nowhere" if broken else _NO_FILE))
        elif suffix not in readable:
            reason = f"{suffix[1:].upper()} files cannot be read here; save them as JPEG or PNG"
            found.left_out.append((path, reason))
        elif inside and out == real and path.resolve().parent == out and _is_result(path):
            found.results += 1
        else:
            paths.append(path)
    found.paths += sorted(paths)


def _walk(folder: Path) -> Iterator[tuple[Path, OSError | None]]:
    """Every file below a folder, and the folders that cannot be opened with what the system says."""
    errors: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=errors.append):
        folders.sort()
        yield from ((Path(place) / name, None) for name in sorted(names))
    yield from ((Path(error.filename), error) for error in errors)


def _is_result(path: Path) -> bool:
    """Whether this program wrote a picture of a folder of results, its stages among them."""
    if path.suffix.lower() != ".png":
        return False
    if path.name.endswith(".aligned.png"):  # has no note, for nothing in it is edited
        return path.with_name(path.name.replace(".aligned.png", ".edited.png")).exists()
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info.get("Comment") == EDITED
    except (OSError, ValueError, SyntaxError):
        return False
