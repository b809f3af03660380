"""CelebA as people have it on disk: which photos are there, their labels, parts and people.

Known are the official folder (img_align_celeba/ beside the lists), the PNG variant (img_align_celeba_png/), the
download's Img/, Anno/ and Eval/ folders, Kaggle's CSVs, and square crops in the product's framing (crops/). The count
line, the list of parts and the list of people may be missing; photos may be fewer than labels.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tqdm import tqdm

from lc.errors import LatentConstraintsError
from lc.faces.align import FRAME_BOX, FRAME_SIZE

__all__ = ["CROPS", "PARTS", "DataError", "Layout", "find", "framed_side", "say"]

PARTS = {"train": 0, "validation": 1, "test": 2}  # CelebA's own numbers
HELD_OUT = 0.05  # share of the people, or photos, that are "validation" where no list says who is

CROPS = "crops"
_FOLDERS = ("img_align_celeba", "img_align_celeba_png", CROPS)
_PLACES = ("", "Img", "Anno", "Eval")
# Crops are stored with 8 more pixels around every 128 that the product would see.
_CROP_SIDE, _CROP_INNER = 144, 128
_TOLERANCE = 0.02  # of width / height, as `lc.faces.frame_crop` allows


class DataError(LatentConstraintsError):
    """The data cannot be used as they are; the message, one sentence, says what to do."""


def say(text: str) -> None:
    """Tell the person at the terminal, beside whatever bar is drawn there, in what its encoding can print."""
    encoding = sys.stderr.encoding or "utf-8"
    tqdm.write(text.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)


def stem(name: str) -> str:
    """A listed name without its suffix, since the PNG variant's lists say .jpg.

    >>> stem("000001.jpg")
    '000001'
    """
    return name.rpartition(".")[0] or name


def framed_side(width: int, height: int, folder: str) -> float:
    """Side of the centred square that the product would cut out of a picture, in its pixels.

    Args:
        width, height: of the picture.
        folder: name of the folder that it lies in: pictures in "crops" are square and have the product's framing with
            a sixteenth of its side around it; so have pictures of 144x144 anywhere.

    Raises:
        DataError: it is neither framed as CelebA's photos nor known to be such a crop.

    >>> framed_side(178, 218, "img_align_celeba"), framed_side(144, 144, "crops")
    (148.0, 128.0)
    """
    if abs(width * FRAME_SIZE[1] / (height * FRAME_SIZE[0]) - 1) <= _TOLERANCE:
        return width * (FRAME_BOX[2] - FRAME_BOX[0]) / FRAME_SIZE[0]
    if width == height and (folder == CROPS or width == _CROP_SIDE):
        return width * _CROP_INNER / _CROP_SIDE
    raise DataError(
        f"A picture of {width}x{height} is framed neither as CelebA's (178x218) nor as a crop of 144x144: put square "
        f"crops with a sixteenth of the face's square around it into a folder named {CROPS}, and cut any others with "
        "python -m train.prepare."
    )


@dataclass(frozen=True)
class Layout:
    """Where a folder of CelebA keeps what.

    Attributes:
        root: the folder itself.
        photos: the folder of pictures, in it.
        labels: the list of attributes.
        partition: the list of parts, or None.
        identity: the list of people, or None.
    """

    root: Path
    photos: Path
    labels: Path
    partition: Path | None
    identity: Path | None

    @cached_property
    def files(self) -> dict[str, str]:
        """The file name of each picture that is there, by its stem."""
        with os.scandir(self.photos) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        return {stem(name): name for name in names}

    def people(self) -> dict[str, str]:
        """The person on each photo, by the photo's stem; empty where no list says."""
        if self.identity is None:
            return {}
        return {stem(row[0]): row[1] for row in _rows(self.identity) if len(row) > 1 and row[1].isdigit()}

    def parts(self) -> dict[str, int]:
        """The part of each photo, by its stem, in the list's order; see `PARTS`.

        Without a list a twentieth of the people is held out, or of the photos where people are unknown either: by a
        hash, so that the split is the same everywhere.

        Raises:
            DataError: the list is damaged.
        """
        if self.partition is not None:
            rows = [row for row in _rows(self.partition) if len(row) > 1]
            if rows and not rows[0][1].isdigit():
                del rows[0]  # Kaggle's header
            if not all(row[1].isdigit() for row in rows):
                raise DataError(f"{self.partition} is damaged: each of its lines must be a photo's name and 0, 1 or 2.")
            return {stem(row[0]): int(row[1]) for row in rows}
        people = self.people()
        unit = "person" if people else "photo"
        say(f"{self.root} has no list of parts: every twentieth {unit} is held out, chosen by a hash.")
        names = (stem(row[0]) for row in list(_rows(self.labels))[1:])
        shares = {name: _share(people.get(name, name)) for name in names}
        most = max(HELD_OUT, min(shares.values(), default=0.0) + 1e-9)  # of few, hold out one at least
        return {name: int(share < most) for name, share in shares.items()}

    def names(self, part: str, limit: int | None = None) -> list[str]:
        """File names of a part's photos that are there, the first `limit` of them; says how many are missing.

        Raises:
            DataError: no such part, or none of its photos is there.
        """
        if part not in PARTS:
            raise DataError(f"There is no part {part!r}: use {', '.join(PARTS)}.")
        listed = [name for name, number in self.parts().items() if number == PARTS[part]]
        there = [self.files[name] for name in listed if name in self.files]
        if not listed:
            raise DataError(f"{self.root} lists no photos as {part}: take another part.")
        if not there:
            raise DataError(f"None of the {len(listed):,} photos listed as {part} is in {self.photos}: look there.")
        if missing := len(listed) - len(there):
            say(f"{missing:,} of {len(listed):,} photos listed as {part} are missing from {self.photos}.")
        return there[:limit]

    def attributes(self) -> list[str]:
        """The attributes that are labelled, in the list's order."""
        rows = _rows(self.labels)
        header, first = next(rows, []), next(rows, [])
        return header[1:] if len(header) == len(first) else header  # Kaggle's header names the first column too

    def read_labels(self, names: Sequence[str], attributes: Sequence[str]) -> list[list[bool]]:
        """Labels of photos, one row each.

        Args:
            names: of photos, with or without a suffix.
            attributes: any of CelebA's forty.

        Raises:
            DataError: an attribute or a photo is not in the list.
        """
        rows, columns = _rows(self.labels), self.attributes()
        next(rows, [])
        if absent := [name for name in attributes if name not in columns]:
            raise DataError(f"{self.labels} has no column {absent[0]}; it has: {', '.join(columns)}.")
        chosen, wanted = [columns.index(name) + 1 for name in attributes], {stem(name) for name in names}
        found: dict[str, list[bool]] = {}
        for row in rows:
            if stem(row[0]) in wanted:
                try:
                    found[stem(row[0])] = [int(row[c]) > 0 for c in chosen]
                except (IndexError, ValueError) as error:
                    raise DataError(f"{self.labels} is damaged at {row[0]}: fetch it again.") from error
        if unknown := [name for name in names if stem(name) not in found]:
            raise DataError(
                f"{self.labels} says nothing of {len(unknown):,} photos, {unknown[0]} among them: fetch it again."
            )
        return [found[stem(name)] for name in names]


def find(root: Path) -> Layout:
    """What lies where in a folder of CelebA; raises DataError where photos or labels are missing."""
    places = [root / place for place in _PLACES]
    photos = next((place / name for place in places for name in _FOLDERS if (place / name).is_dir()), None)
    if photos is None:
        raise DataError(f"{root} holds no folder {', '.join(_FOLDERS[:-1])} or {CROPS}: name the one that does.")
    if (nested := photos / photos.name).is_dir():  # as Kaggle's archive unpacks
        photos = nested

    def listed(name: str) -> Path | None:
        paths = (place / f"{name}.{suffix}" for place in places for suffix in ("txt", "csv"))
        return next((path for path in paths if path.is_file()), None)

    labels = listed("list_attr_celeba")
    if labels is None:
        raise DataError(f"{root} holds no list_attr_celeba.txt or .csv: fetch it with the photos.")
    return Layout(root, photos, labels, listed("list_eval_partition"), listed("identity_CelebA"))


def _rows(path: Path) -> Iterator[list[str]]:
    """The fields of each line, without CelebA's count of them."""
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines):
            fields = line.strip().split(",") if path.suffix == ".csv" else line.split()
            if any(fields) and not (number == 0 and len(fields) == 1 and fields[0].isdigit()):
                yield fields


def _share(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
