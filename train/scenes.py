"""Photos as the app sees them when it edits: latents after descent, their pictures, and where the person is.

    python -m train.scenes --weights weights/celeba-64 --celeba data/celebahq --out cache/scenes.safetensors

Descent and the parser take a tenth of a second for a photo, so it is done once, for a training that edits each many
times.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from lc.errors import LatentConstraintsError
from lc.files import write_bytes
from lc.invert import invert
from lc.weights import bundled_classifier, load_parser, load_tuning
from train.data import load_celeba
from train.engine import parse, program
from train.inputs import load_encoding_generator

__all__ = ["Scenes", "load_scenes"]


@dataclass(frozen=True)
class ScenesMaking:
    """Read photos as the app does."""

    weights: Path
    """Weights folder with a generator, a perceptual classifier and a face parser."""
    celeba: Path = Path("data/celebahq")
    out: Path = Path("cache/scenes.safetensors")
    photos: int = 12_000
    """The first of the training part, and of those only whole faces; flipped every other one."""
    batch: int = 32
    threads: int = 1


@dataclass(frozen=True)
class Scenes:
    """Photos that were read.

    Attributes:
        z: (N, latent).
        pictures: (N, 3, S, S) uint8, decoded from z.
        person: (N, 1, S, S) uint8, parts of 255: how probable anything but background is.
        labels: (N, A) in {0, 1}.
    """

    z: Tensor
    pictures: Tensor
    person: Tensor
    labels: Tensor

    def at(self, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (B, latent), pictures (B, 3, S, S) and where the person is (B, 1, S, S), both in [0, 1]."""
        pictures, person = (x[rows].to(device).float() / 255 for x in (self.pictures, self.person))
        return self.z[rows].to(device).float(), pictures, person


def load_scenes(path: Path) -> Scenes:
    """What `python -m train.scenes` wrote.

    Raises:
        LatentConstraintsError: there is no such file.
    """
    if not path.exists():
        raise LatentConstraintsError(f"{path} is missing: make it with python -m train.scenes.")
    return Scenes(**safetensors.torch.load_file(path))


@program
def main() -> None:
    config = parse(ScenesMaking)
    torch.set_num_threads(config.threads)
    device = torch.device("cpu")
    generator, parser = load_encoding_generator(config.weights, device), load_parser(config.weights)
    perceptual, tuning = bundled_classifier(config.weights, "perceptual"), load_tuning(config.weights)
    if parser is None:
        raise LatentConstraintsError(f"{config.weights} has no face parser: train one with python -m train.parser.")
    size, fine = generator.image_size, parser.config.image_size
    crops = load_celeba(config.celeba, "train", config.photos, image_size=fine, margin=0)
    assert crops.labels is not None
    background = parser.config.classes.index("background")
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for start in tqdm(range(0, len(crops), config.batch), desc="scenes"):
        x = crops.images[start : start + config.batch].float() / 255
        x = torch.where((torch.arange(len(x)) % 2 > 0)[:, None, None, None], x.flip(3), x)
        small = F.interpolate(x, (size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        z, decoded = invert(generator, small, tuning, perceptual=perceptual)
        person = 1 - F.interpolate(parser.parse(x), (size, size), mode="area")[:, background, None]
        decoded, person = ((y.clamp(0, 1) * 255).round().to(torch.uint8) for y in (decoded, person))
        found.append((z.half(), decoded, person))
    z, pictures, person = (torch.cat(parts).contiguous() for parts in zip(*found, strict=True))
    tensors = {"z": z, "pictures": pictures, "person": person, "labels": crops.labels.to(torch.uint8)}
    config.out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(config.out, safetensors.torch.save(tensors))
    print(f"{len(z):,} photos in {config.out}")


if __name__ == "__main__":
    main()
