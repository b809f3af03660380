"""Measure what colour a part of photos has that show an attribute: hair that is called black, blond or brown.

    python -m train.colours --weights weights/celeba-64 --celeba data/celebahq

For each attribute of the weights folder that recolours a part, the part's median L*, a*, b* in photos with the label,
where a parser finds enough of it: mean and deviation over photos go into config.json, see `lc.attributes.Colour`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from lc.attributes import AttributeSet
from lc.colour import Colour
from lc.errors import LatentConstraintsError
from lc.faces.tone import to_lab
from lc.parser import Parser
from lc.weights import load_attributes, load_parser, save_config
from train.data import Crops, load_celeba
from train.engine import parse, program


@dataclass(frozen=True)
class ColoursConfig:
    """Measure colours."""

    weights: Path
    """Weights folder with a parser; config.json there gets the colours."""
    celeba: Path = Path("data/celebahq")
    photos: int = 500
    """How many per attribute."""
    least: float = 0.05
    """The part's share of a crop, from which on it is measured."""
    threads: int = 1


def measure(parser: Parser, crops: Crops, part: str, rows: list[int], least: float) -> Colour:
    """The colour of a part in these photos.

    Raises:
        LatentConstraintsError: fewer than ten photos show the part.
    """
    column, medians, deviations = parser.config.classes.index(part), [], []
    for row in tqdm(rows, desc=part, leave=False):
        image = crops.images[row]
        where = parser.parse(image[None].float() / 255, resample=False)[0, column].numpy() > 0.8
        if where.mean() < least:
            continue
        lab = to_lab(np.ascontiguousarray(image.permute(1, 2, 0).numpy(), dtype=np.float32))[where]
        medians.append(np.median(lab, 0))
        deviations.append(lab[:, 0].std())
    if len(medians) < 10:
        raise LatentConstraintsError(f"Only {len(medians)} photos show enough {part}: give more of them.")
    found = np.stack(medians)
    mean, spread = ([round(float(value), 2) for value in values] for values in (found.mean(0), found.std(0)))
    return Colour((mean[0], mean[1], mean[2]), (spread[0], spread[1], spread[2]), round(float(np.mean(deviations)), 2))


@program
def main() -> None:
    config = parse(ColoursConfig)
    torch.set_num_threads(config.threads)
    attributes, parser = load_attributes(config.weights), load_parser(config.weights)
    if parser is None:
        raise LatentConstraintsError(f"{config.weights} has no face parser: train one with python -m train.parser.")
    size = parser.config.image_size
    crops = load_celeba(config.celeba, "train", attributes=attributes.names, image_size=size, margin=size // 16)
    assert crops.labels is not None
    entries = []
    for i, entry in enumerate(attributes.attributes):
        if entry.recolours:
            rows = (crops.labels[:, i] > 0.5).nonzero()[:, 0][: config.photos].tolist()
            entry = replace(entry, colour=measure(parser, crops, entry.recolours, rows, config.least))
            print(entry.name, asdict(entry)["colour"], flush=True)
        entries.append(entry)
    found = AttributeSet(
        tuple(entries), attributes.one_of, attributes.excludes, attributes.unlikely, attributes.opening
    )
    save_config(config.weights, attributes=found.as_json())


if __name__ == "__main__":
    main()
