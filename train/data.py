"""Photos as tensors: CelebA in any layout at any resolution, and packed crops that `train.prepare` made.

Crops are kept with a margin around what the networks see, so that training can shift them. They are uint8: at 64 pixels
20,000 photos take 280 MB. Sets of that size are cut once into a file that is mapped into memory.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from lc.faces import Aligned
from lc.files import write_bytes, write_text
from train.attributes import ATTRIBUTES
from train.layouts import CROPS, PARTS, DataError, Layout, find, framed_side, say

__all__ = [
    "MARGIN",
    "PARTS",
    "Crops",
    "DataError",
    "augment",
    "centre",
    "find",
    "framed_crop",
    "load_celeba",
    "load_packed",
    "load_training",
    "read_crop",
    "save_packed",
    "square_crop",
    "to_tensor",
    "to_unit",
]

IMAGE_SIZE = 64  # side of a crop, in pixels
MARGIN = 2  # pixels of 64 on every side: as much as a good aligner is off
LARGE = 2**28  # bytes of crops from which on they go to a file: to cut so many takes a minute or more
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Crops:
    """Photos ready for training.

    Attributes:
        images: (N, 3, S, S) uint8, S the image size and twice the margin. Perhaps mapped from a file: index it.
        labels: (N, attributes) float in {0, 1}, or None where nothing is known.
        names: N file names.
    """

    images: Tensor
    labels: Tensor | None
    names: list[str]

    def __len__(self) -> int:
        return len(self.images)


def square_crop(image: Image.Image, side: float, image_size: int = IMAGE_SIZE, margin: int = MARGIN) -> Image.Image:
    """The centred square of `side` pixels shown at `image_size`, with `margin` more such pixels on every side.

    Raises:
        DataError: the margin reaches out of the picture.
    """
    size = image_size + 2 * margin
    wide = side * size / image_size
    if wide > min(image.size) + 1e-6:
        most = int(image_size * (min(image.size) / side - 1) / 2)
        raise DataError(f"A margin of {margin} pixels reaches out of the photos: take {most} at most.")
    left, top = max(0.0, (image.width - wide) / 2), max(0.0, (image.height - wide) / 2)
    box = (left, top, min(left + wide, image.width), min(top + wide, image.height))
    return image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, box=box)


def read_crop(path: Path, image_size: int = IMAGE_SIZE, margin: int = MARGIN) -> Image.Image | None:
    """A photo of CelebA's cut as the product would; None where it cannot be read.

    Raises:
        DataError: it has another framing; see `train.layouts.framed_side`.
    """
    try:
        with Image.open(path) as image:
            image.load()
    except Exception:  # Pillow's readers let through whatever a broken file makes them meet
        return None
    return square_crop(image, framed_side(*image.size, path.parent.name), image_size, margin)


def framed_crop(rgb: Image.Image, folder: str, image_size: int) -> Aligned:
    """What the product would see of a picture whose framing is known, and where it lies in it.

    Args:
        rgb: the picture: framed as CelebA's, or a square crop with a margin.
        folder: name of the folder that it lies in, see `train.layouts.framed_side`.
        image_size: side of the crop, in pixels.

    Raises:
        DataError: it has another framing.
    """
    side = framed_side(*rgb.size, folder)
    left, top = (rgb.width - side) / 2, (rgb.height - side) / 2
    box = (left, top, left + side, top + side)
    crop = rgb.resize((image_size, image_size), Image.Resampling.BICUBIC, box=box)
    scale = side / image_size
    return Aligned(crop, np.array([[scale, 0.0, left], [0.0, scale, top]]), scale)


def to_tensor(images: list[Image.Image]) -> Tensor:
    """N pictures of one size -> (N, 3, H, W) uint8."""
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).contiguous()


def load_celeba(
    root: Path,
    part: str,
    limit: int | None = None,
    *,
    attributes: Sequence[str] = ATTRIBUTES,
    image_size: int = IMAGE_SIZE,
    margin: int = MARGIN,
    cache: Path = Path("cache"),
) -> Crops:
    """CelebA in any layout that `train.layouts.find` knows. Photos that are missing or broken are named and left out.

    Args:
        root: the folder that holds photos and lists.
        part: "train", "validation" or "test".
        limit: at most so many photos, the first ones.
        attributes: the labels wanted, any of CelebA's forty.
        image_size: side of what the networks see, in pixels.
        margin: pixels around it, on every side.
        cache: folder for the crops of a set that takes more than `LARGE` bytes.

    Raises:
        DataError: no such photos or labels, or photos of another framing.
    """
    layout = find(root)
    names, size = layout.names(part, limit), image_size + 2 * margin
    _say_squares(layout, names)
    shape = (len(names), 3, size, size)
    stored = _stored(layout, names, image_size, margin, cache) if np.prod(shape) > LARGE else None
    if stored is not None and stored.with_suffix(".json").exists():
        kept = json.loads(stored.with_suffix(".json").read_text())
    else:
        draft = stored.with_suffix(f".{os.getpid()}") if stored else None
        pixels = np.lib.format.open_memmap(draft, "w+", np.uint8, shape) if draft else np.empty(shape, np.uint8)
        kept = _fill(pixels, layout, names, image_size, margin, f"CelebA {part}")
        if stored and draft:
            draft.replace(stored)
            write_text(stored.with_suffix(".json"), json.dumps(kept))  # last: where it is, the crops are complete
    read = set(kept)
    if broken := [name for name in names if name not in read]:
        few = ", ".join(broken[:5]) + (", ..." if len(broken) > 5 else "")
        say(f"{len(broken):,} of {len(names):,} photos in {layout.photos} cannot be read and are left out: {few}.")
    if not kept:
        raise DataError(f"No photo in {layout.photos} can be read: fetch them again.")
    if stored:
        pixels = np.load(stored, mmap_mode="c")
    labels = torch.tensor(layout.read_labels(kept, attributes)).float()
    return Crops(torch.from_numpy(pixels[: len(kept)]), labels, kept)


def _fill(pixels: Pixels, layout: Layout, names: Sequence[str], image_size: int, margin: int, title: str) -> list[str]:
    """Read photos into the first rows of (N, 3, S, S); returns the names of those that could be read."""

    def cut(name: str) -> Pixels | None:
        image = read_crop(layout.photos / name, image_size, margin)
        return None if image is None else np.asarray(image, np.uint8)

    kept: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        found: Iterator[Pixels | None] = pool.map(cut, names)
        for name, crop in zip(names, tqdm(found, total=len(names), desc=title, leave=False), strict=True):
            if crop is not None:
                pixels[len(kept)] = crop.transpose(2, 0, 1)
                kept.append(name)
    return kept


def _stored(layout: Layout, names: Sequence[str], image_size: int, margin: int, cache: Path) -> Path:
    """The file for these crops: its name changes with the photos' names, sizes and times, and with the framing."""
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(f"{layout.photos.resolve()} {image_size} {margin}".encode())
    for name in names:
        status = (layout.photos / name).stat()
        digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return cache / f"{layout.root.name}-{image_size}-{digest.hexdigest()[:12]}.npy"


def _say_squares(layout: Layout, names: Sequence[str]) -> None:
    """Say so where square pictures are taken for crops though their folder is not named so."""
    if layout.photos.name == CROPS:
        return
    try:
        with Image.open(layout.photos / names[0]) as image:
            square = image.width == image.height
    except Exception:  # broken: named when all are read
        return
    if square:
        framed_side(*image.size, layout.photos.name)  # refuses what is no crop before thousands are read
        say(f"{layout.photos} holds squares of 144x144: their centre 128x128 is taken for the product's framing.")


def save_packed(path: Path, crops: Crops) -> None:
    """Write crops as safetensors, names in its metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, safetensors.torch.save({"images": crops.images}, {"names": "\n".join(crops.names)}))


def load_packed(path: Path) -> Crops:
    """Read what `save_packed` wrote."""
    with safetensors.safe_open(path, "pt") as file:
        return Crops(file.get_tensor("images"), None, file.metadata()["names"].split("\n"))


def load_training(
    celeba: Path,
    extra: Sequence[Path],
    limit: int | None = None,
    *,
    image_size: int = IMAGE_SIZE,
    margin: int = MARGIN,
) -> Crops:
    """CelebA's training part, and after it what `train.prepare` made of other photos: labels are of the first rows.

    Args:
        celeba, limit, image_size, margin: see `load_celeba`; the limit is of each file as well.
        extra: files of `save_packed`.

    Raises:
        DataError: see `load_celeba`; also where a file's crops are of another size.
    """
    crops = load_celeba(celeba, "train", limit, image_size=image_size, margin=margin)
    images, names, size = [crops.images], list(crops.names), image_size + 2 * margin
    for path in extra:
        packed = load_packed(path)
        if packed.images.shape[-1] != size:
            raise DataError(
                f"The crops in {path} have {packed.images.shape[-1]} pixels and {size} are wanted: prepare them with "
                f"--image-size {image_size} --margin {margin}."
            )
        images.append(packed.images[:limit])
        names += packed.names[:limit]
    # Without others, CelebA's stay as they are: perhaps mapped from a file.
    return Crops(torch.cat(images) if extra else crops.images, crops.labels, names)


def to_unit(images: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [0, 1]."""
    return images.float() / 255


def margin_of(images: Tensor, image_size: int) -> int:
    """Pixels that crops (..., S, S) have around `image_size`, on every side."""
    margin, odd = divmod(images.shape[-1] - image_size, 2)
    if margin < 0 or odd:
        raise DataError(
            f"Crops of {images.shape[-1]} pixels have no even margin around {image_size}: prepare them for that size."
        )
    return margin


def centre(images: Tensor, image_size: int = IMAGE_SIZE) -> Tensor:
    """(B, 3, S, S) uint8 -> what the app would see, (B, 3, image_size, image_size) float in [0, 1]."""
    margin = margin_of(images, image_size)
    inner = slice(margin, margin + image_size)
    return to_unit(images[..., inner, inner])


def augment(
    images: Tensor,
    generator: torch.Generator,
    colour: float = 0.0,
    zoom: float = 0.0,
    image_size: int = IMAGE_SIZE,
    mirror: float = 0.5,
) -> Tensor:
    """Flip half of the photos and shift each by up to its margin; on request vary light, colour and scale.

    Args:
        images: (B, 3, S, S) uint8; the margin M is half of what S exceeds `image_size` by.
        generator: the source of chance, so that a resumed run repeats itself.
        colour: largest relative change of brightness; each channel changes by up to a third of it besides.
        zoom: share of the photos shown up to 2 M / image_size larger or smaller. They are resampled, hence a little
            softer: keep it small.
        image_size: side of what the networks see.
        mirror: share of the photos that are flipped.

    Returns:
        (B, 3, image_size, image_size) float in [0, 1].
    """
    batch, margin = len(images), margin_of(images, image_size)
    top, left = torch.randint(0, 2 * margin + 1, (2, batch, 1), generator=generator)
    flip = torch.rand(batch, 1, generator=generator) < mirror
    steps = torch.arange(image_size)
    rows = top + steps  # (B, image_size)
    columns = left + torch.where(flip, steps.flip(0), steps)  # (B, image_size)
    index = torch.arange(batch)[:, None, None]
    shifted = images.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]  # (B, size, size, 3)
    x = to_unit(shifted.permute(0, 3, 1, 2))
    if zoom and (few := round(zoom * batch)):
        side = image_size + 2 * int(torch.randint(-margin, margin + 1, (1,), generator=generator))
        edge = (images.shape[-1] - side) // 2
        square = to_unit(images[:few, :, edge : edge + side, edge : edge + side])
        square = torch.where(flip[:few, :, None, None], square.flip(3), square)
        x[:few] = F.interpolate(square, image_size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    if colour:
        light = torch.empty(batch, 1, 1, 1).uniform_(-colour, colour, generator=generator)
        tint = torch.empty(batch, 3, 1, 1).uniform_(-colour / 3, colour / 3, generator=generator)
        x = (x * (1 + light + tint)).clamp(0, 1)
    return x
