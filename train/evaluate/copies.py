"""Measure what a generator's encoder and decoder make of photos: no actor and no critics are asked.

    python -m train.evaluate.copies --weights weights/celeba-128 weights/celeba-64 --celeba data/celebahq

Every folder's copies of held-out photos are compared with the photos at one size, copies of fewer pixels enlarged: by
pixels, by VGG16's features (LPIPS's first weights, averaged per stage: `train.perceptual`), by dlib's face embedding,
by the evaluation classifier and the outside readers of age, sex and smiles, and by whether the face parser still finds
the glasses of those who wear some. Codes are those that the app finds, where the folder says how (`lc.invert`), else
the encoder's.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from lc.invert import invert
from lc.parser import Parser
from lc.weights import bundled_classifier, load_config, load_parser, load_tuning
from train.attributes import ATTRIBUTES
from train.data import DataError, centre, load_celeba
from train.engine import parse, program
from train.evaluate.crops import rounded
from train.evaluate.readers import Evaluators, load_embedding, load_outside, resized
from train.evaluate.report import keep
from train.evaluate.tables import table
from train.inputs import load_encoding_generator
from train.metrics import gradient_energy, psnr
from train.perceptual import FOLDER, Perceptual

__all__ = ["CopiesConfig", "copies", "main", "measure"]

_BATCH = 32
_LEAST_GLASSES = 0.003  # of the crop; below that the parser sees reflections


@dataclass(frozen=True)
class CopiesConfig:
    """Measure copies of photos."""

    weights: tuple[Path, ...] = (Path("weights/celeba-128"), Path("weights/celeba-64"))
    """Weights folders; they need hold no more than a generator."""
    parser: Path = Path("weights/celeba-64")
    """Weights folder of the face parser."""
    evaluators: Path = Path("weights/judges-64")
    """Folder with the classifiers "reader" and "realism", for evaluation."""
    celeba: Path = Path("data/celebahq")
    part: str = "validation"
    size: int = 128
    """Side, in pixels, at which all are compared."""
    vgg: Path | None = FOLDER
    """What `python -m train.perceptual fetch` puts there; None compares no such features."""
    outside: bool = True
    """Read by outside readers too, where they were fetched."""
    limit: int | None = None
    """Use only so many photos."""
    out: Path = Path("runs/copies.json")
    threads: int = 0


@torch.no_grad()
def copies(folder: Path, photos: Tensor) -> Tensor:
    """What a folder's generator makes of photos (N, 3, S, S) in [0, 1], as a picture of 8 bits has it: of that size."""
    generator, size = load_encoding_generator(folder, torch.device("cpu")), photos.shape[-1]
    tuning = load_tuning(folder) if "tuning" in load_config(folder) else None
    perceptual = bundled_classifier(folder, "perceptual") if tuning else None
    found = []
    for x in tqdm(photos.split(_BATCH), desc=folder.name, leave=False):
        seen = resized(x, generator.image_size)
        if tuning:
            picture = invert(generator, seen, tuning, perceptual=perceptual)[1]
        else:
            picture = generator.decode(generator.encode(seen).mean)
        found.append(rounded(resized(picture, size)))
    return torch.cat(found)


@torch.no_grad()
def _worn(parser: Parser, images: Tensor) -> Tensor:
    """Whether the parser finds glasses, (N,) of bool."""
    column = parser.config.classes.index("glasses")
    parts = [parser.parse(x).argmax(1) == column for x in images.split(_BATCH)]
    return torch.cat(parts).float().mean((1, 2)) > _LEAST_GLASSES


@torch.no_grad()
def measure(config: CopiesConfig) -> dict[str, dict[str, float]]:
    """Every figure, by the name of the folder.

    Raises:
        DataError: nobody among the photos wears glasses that the parser finds.
    """
    crops = load_celeba(config.celeba, config.part, config.limit, image_size=config.size)
    photos = centre(crops.images, config.size)
    parser, embedding = load_parser(config.parser), load_embedding()
    outside, judge = load_outside() if config.outside else None, Evaluators.load(config.evaluators)
    vgg = Perceptual(config.vgg) if config.vgg else None
    assert crops.labels is not None
    true = crops.labels > 0.5
    wearers = torch.zeros(0, dtype=torch.long)
    if parser is not None:
        labelled = torch.nonzero(true[:, ATTRIBUTES.index("Eyeglasses")])[:, 0]
        wearers = labelled[_worn(parser, photos[labelled])]
        if not len(wearers):
            raise DataError("Nobody among these photos wears glasses that the parser finds: give more photos.")

    def read(images: Tensor) -> dict[str, Tensor]:
        found = {"right": judge.read(images).eq(true).float().mean(1)}
        if embedding is not None:
            found["person"] = embedding.crops(images)
        if outside is not None:
            found["age"], found["male"] = outside.age_sex.read(images)
            found["smile"] = outside.expression.read(images)
        return found

    own, rows = read(photos), {}
    for folder in config.weights:
        made = copies(folder, photos)
        seen = read(made)
        row = {
            "PSNR, dB": float(psnr(made, photos).mean()),
            "gradient energy": float((gradient_energy(made) / gradient_energy(photos)).mean()),
        }
        if vgg is not None:
            pairs = zip(photos.split(8), made.split(8), strict=True)
            row["VGG16 distance"] = float(torch.cat([vgg(a, b) for a, b in pairs]).mean())
        row["attributes read right, less photos"] = float((seen["right"] - own["right"]).mean())
        if "person" in seen:
            row["dlib distance, median"] = float((seen["person"] - own["person"]).norm(dim=1).median())
        if "age" in seen:
            for name, title in (("male", "men"), ("smile", "smiling")):
                before, after = ((side[name] > 0.5).float() for side in (own, seen))
                row[f"read as {title}, less photos"] = float((after - before).mean())
                row[f"read as {title} or not as the photo"] = float((after == before).float().mean())
            row["years older than the photo"] = float((seen["age"] - own["age"]).mean())
        if parser is not None:
            row["glasses still found"] = float(_worn(parser, made[wearers]).float().mean())
        rows[folder.name] = row
    return rows


def tables(figures: dict[str, dict[str, float]]) -> str:
    """The figures as Markdown, a column for each folder."""
    names = list(next(iter(figures.values())))
    lines = [[name, *(f"{row[name]:.3f}" for row in figures.values())] for name in names]
    return "\n".join(table(["", *figures], lines))


@program
def main() -> None:
    config = parse(CopiesConfig)
    if config.threads:
        torch.set_num_threads(config.threads)
    figures: dict[str, Any] = measure(config)
    keep(config.out, {"settings": dataclasses.asdict(config), **figures})
    print(tables(figures))


if __name__ == "__main__":
    main()
