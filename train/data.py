"""Photos as tensors: CelebA's official layout at any resolution, and packed crops that `train.prepare` made.

Crops are kept with a margin around the 64x64 that the networks see, so that training can shift them. They are held in
memory as uint8: 20,000 photos take 280 MB, the whole of CelebA 2.8 GB.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from lc.files import write_bytes
from train.attributes import ATTRIBUTES

__all__ = [
    "MARGIN",
    "Crops",
    "augment",
    "centre",
    "load_celeba",
    "load_packed",
    "save_packed",
    "square_crop",
    "to_unit",
]

IMAGE_SIZE = 64  # side of a crop, in pixels
MARGIN = 2  # pixels of 64 on every side: as much as a good aligner is off
PARTS = {"train": 0, "validation": 1, "test": 2}  # CelebA's own numbers


@dataclass(frozen=True)
class Crops:
    """Photos ready for training.

    Attributes:
        images: (N, 3, 64 + 2 * MARGIN, 64 + 2 * MARGIN) uint8.
        labels: (N, 10) float in {0, 1}, or None where nothing is known.
        names: N file names.
    """

    images: Tensor
    labels: Tensor | None
    names: list[str]

    def __len__(self) -> int:
        return len(self.images)


def square_crop(image: Image.Image, side: float, margin: int = MARGIN) -> Image.Image:
    """The centred square of `side` pixels shown at 64x64, with `margin` more pixels of 64 on every side."""
    size = IMAGE_SIZE + 2 * margin
    wide = side * size / IMAGE_SIZE
    left, top = (image.width - wide) / 2, (image.height - wide) / 2
    box = (left, top, left + wide, top + wide)
    return image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, box=box)


def to_tensor(images: list[Image.Image]) -> Tensor:
    """N pictures of one size -> (N, 3, H, W) uint8."""
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).contiguous()


def load_celeba(root: Path, part: str, limit: int | None = None) -> Crops:
    """CelebA in its official layout (img_align_celeba/, list_attr_celeba.txt, list_eval_partition.txt).

    Args:
        root: the folder that holds these three.
        part: "train", "validation" or "test".
        limit: at most so many photos, the first ones.

    Raises:
        FileNotFoundError: a file of the layout is missing.
    """
    rows = (line.split() for line in (root / "list_eval_partition.txt").read_text().splitlines() if line.strip())
    names = [name for name, number in rows if int(number) == PARTS[part]][:limit]
    lines = (root / "list_attr_celeba.txt").read_text().splitlines()
    columns = [lines[1].split().index(name) + 1 for name in ATTRIBUTES]
    wanted = set(names)
    values = {
        row[0]: [int(row[c]) > 0 for c in columns] for row in map(str.split, lines[2:]) if row and row[0] in wanted
    }

    def read(name: str) -> Image.Image:
        with Image.open(root / "img_align_celeba" / name) as image:
            return square_crop(image, image.width * 148 / 178)

    with ThreadPoolExecutor(4) as pool:
        images = list(tqdm(pool.map(read, names), total=len(names), desc=f"CelebA {part}", leave=False))
    return Crops(to_tensor(images), torch.tensor([values[name] for name in names]).float(), names)


def save_packed(path: Path, crops: Crops) -> None:
    """Write crops as safetensors, names in its metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, safetensors.torch.save({"images": crops.images}, {"names": "\n".join(crops.names)}))


def load_packed(path: Path) -> Crops:
    """Read what `save_packed` wrote."""
    with safetensors.safe_open(path, "pt") as file:
        return Crops(file.get_tensor("images"), None, file.metadata()["names"].split("\n"))


def to_unit(images: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [0, 1]."""
    return images.float() / 255


def centre(images: Tensor) -> Tensor:
    """(B, 3, 64 + 2 * MARGIN, ...) uint8 -> what the app would see, (B, 3, 64, 64) float in [0, 1]."""
    return to_unit(images[..., MARGIN : MARGIN + IMAGE_SIZE, MARGIN : MARGIN + IMAGE_SIZE])


def augment(images: Tensor, generator: torch.Generator, colour: float = 0.0, zoom: float = 0.0) -> Tensor:
    """Flip half of the photos and shift each by up to MARGIN pixels; on request vary light, colour and scale.

    Args:
        images: (B, 3, 64 + 2 * MARGIN, 64 + 2 * MARGIN) uint8.
        generator: the source of chance, so that a resumed run repeats itself.
        colour: largest relative change of brightness; each channel changes by up to a third of it besides.
        zoom: share of the photos shown up to MARGIN / 32 larger or smaller. They are resampled, hence a little softer:
            keep it small.

    Returns:
        (B, 3, 64, 64) float in [0, 1].
    """
    batch = len(images)
    top, left = torch.randint(0, 2 * MARGIN + 1, (2, batch, 1), generator=generator)
    flip = torch.rand(batch, 1, generator=generator) < 0.5
    steps = torch.arange(IMAGE_SIZE)
    rows = top + steps  # (B, 64)
    columns = left + torch.where(flip, steps.flip(0), steps)  # (B, 64)
    index = torch.arange(batch)[:, None, None]
    shifted = images.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]  # (B, 64, 64, 3)
    x = to_unit(shifted.permute(0, 3, 1, 2))
    if zoom and (few := round(zoom * batch)):
        side = IMAGE_SIZE + 2 * int(torch.randint(-MARGIN, MARGIN + 1, (1,), generator=generator))
        edge = (images.shape[-1] - side) // 2
        square = to_unit(images[:few, :, edge : edge + side, edge : edge + side])
        square = torch.where(flip[:few, :, None, None], square.flip(3), square)
        x[:few] = F.interpolate(square, IMAGE_SIZE, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    if colour:
        light = torch.empty(batch, 1, 1, 1).uniform_(-colour, colour, generator=generator)
        tint = torch.empty(batch, 3, 1, 1).uniform_(-colour / 3, colour / 3, generator=generator)
        x = (x * (1 + light + tint)).clamp(0, 1)
    return x
