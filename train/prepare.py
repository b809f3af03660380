"""Folder of photos -> aligned training crops in one file, with the app's own aligner.

    python -m train.prepare --photos data/lfw --out cache/lfw.safetensors --centre 151
    python -m train.prepare --photos ~/Pictures --out cache/mine.safetensors
    python -m train.prepare --photos ~/Pictures --out cache/mine128.safetensors --image-size 128 --margin 8

Photos that are already in CelebA's pose need no detector: `--centre` gives the side, in pixels, of the centred square
to take. Photos without a usable face are named and left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from lc.errors import PhotoError
from lc.faces import detector, find_photos, read_photo
from lc.faces.align import fit, warp
from train.data import IMAGE_SIZE, MARGIN, Crops, save_packed, square_crop, to_tensor
from train.engine import parse, program
from train.layouts import say


@dataclass(frozen=True)
class PrepareConfig:
    """Make training crops."""

    photos: Path
    """Folder of photos, searched with its subfolders."""
    out: Path
    """The .safetensors file to write."""
    centre: float | None = None
    """Take the centred square of this many pixels instead of looking for the face."""
    image_size: int = IMAGE_SIZE
    """Side of what the networks will see, in pixels."""
    margin: int = MARGIN
    """Pixels around it, on every side, that training may shift it by."""
    limit: int | None = None
    """Stop after so many photos."""


def crop(path: Path, side: float | None, image_size: int = IMAGE_SIZE, margin: int = MARGIN) -> Image.Image:
    """One training crop, image_size + 2 * margin pixels square.

    Raises:
        PhotoError: unreadable, or no face in it.
        DataError: the centred square and its margin reach out of the photo.
    """
    photo = read_photo(path)
    if side is not None:
        return square_crop(photo.rgb, side, image_size, margin)
    faces = detector().detect(photo.rgb)
    if not faces:
        raise PhotoError("no face was found")
    matrix = fit(faces[0].landmarks, image_size)
    matrix[:, 2] -= matrix[:, :2] @ np.array([margin, margin])  # begin so much further out
    return warp(photo.rgb, matrix, image_size + 2 * margin)


@program
def main() -> None:
    config = parse(PrepareConfig)
    images, names = [], []
    found = find_photos([config.photos])
    for path, reason in found.left_out:
        print(f"left out {path}: {reason}")
    for path in tqdm(found.paths[: config.limit], desc="align"):
        try:
            images.append(crop(path, config.centre, config.image_size, config.margin))
        except PhotoError as error:
            say(f"left out {path.name}: {error}")
            continue
        names.append(path.relative_to(config.photos).as_posix())
    if not images:
        raise PhotoError(f"There is no photo in {config.photos} that can be used: name a folder of photos with faces.")
    save_packed(config.out, Crops(to_tensor(images), None, names))
    print(f"{len(names)} crops in {config.out}")


if __name__ == "__main__":
    main()
