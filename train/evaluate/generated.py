"""Measure generated faces: do they show what was asked for? No photo is inverted, so any generator takes a minute.

    python -m train.evaluate.generated --weights weights/gan-64 --evaluators weights/judges-64 --celeba data/celebahq
    python -m train.evaluate.generated --weights weights/celeba-64 --evaluators weights/judges-64 --celeba data/celebahq

For the label vector of each held-out photo the flow and the actor make a face of a draw from the prior, and the
evaluation classifier, which no loss has heard, reads it: element-wise accuracy and support-weighted F1, beside those of
the photos themselves and of the prior's own faces, and the Frechet distance and diversity in the features of the
realism classifier. From outside, by MobileNetV2's features where they were fetched (`train.readers`), pictures are
compared as they are shown: half as many as there are photos to a half of these, whose distance to the other half is the
floor.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from lc.crops import to_pictures
from lc.edit.actor import generate
from lc.edit.space import LatentSpace
from lc.generator import from_prior
from lc.upsampler import Upsampler
from lc.weights import load_model
from train.attributes import ATTRIBUTES
from train.data import centre, load_celeba
from train.engine import parse, program
from train.evaluate.crops import rounded, spread
from train.evaluate.edits import tensor
from train.evaluate.readers import Evaluators, load_outside
from train.evaluate.report import keep
from train.evaluate.tables import table
from train.metrics import attribute_scores, diversity, frechet_distance

__all__ = ["GeneratedConfig", "main", "measure"]

_BATCH = 64
_TITLES = {
    "photos": "photos",
    "flow": "faces by the flow",
    "actor": "faces by the actor",
    "prior": "the prior's faces",
}


@dataclass(frozen=True)
class GeneratedConfig:
    """Measure generated faces."""

    weights: Path = Path("weights/celeba-64")
    evaluators: Path = Path("weights/judges-64")
    """Folder with the classifiers "reader" and "realism", for evaluation."""
    celeba: Path = Path("data/celebahq")
    part: str = "validation"
    seeds: tuple[int, ...] = (0, 1, 2)
    limit: int | None = None
    """Use only so many photos: a dry run."""
    outside: bool = True
    """Compare by an outside net's features too, where it was fetched."""
    out: Path = Path("runs/generated.json")
    device: str = "auto"
    threads: int = 0


@torch.inference_mode()
def _faces(space: LatentSpace, labels: Tensor, seed: int) -> dict[str, Tensor]:
    """For labels (N, A) in {0, 1} what flow and actor make of as many draws, and the draws as they are: pictures
    (N, 3, S, S) by the name of the row."""
    model, made = space.model, defaultdict[str, list[Tensor]](list)
    noise = torch.randn(len(labels), model.generator.latent, generator=torch.Generator().manual_seed(seed))
    for rows, wanted in zip(noise.split(_BATCH), labels.split(_BATCH), strict=True):
        y = wanted.to(space.sigma_bar.device)
        z = from_prior(model.generator, rows.to(y.device))
        latents = {} if model.flow is None else {"flow": model.flow.draw(rows.to(y.device), y)}
        for name, at in {**latents, "actor": generate(space, z, y), "prior": z}.items():
            made[name].append(rounded(model.generator.decode(at)))
    return {name: torch.cat(parts) for name, parts in made.items()}


def _shown(enlarger: Upsampler | None, images: Tensor) -> Tensor:
    """Decoded pictures (N, 3, S, S) as `FaceEditor.sample` shows them, (N, 3, S, S) or (N, 3, 2S, 2S)."""
    if enlarger is None:
        return images
    return torch.cat([tensor(enlarger.enlarged(to_pictures(part))) for part in images.split(_BATCH)])


def measure(config: GeneratedConfig) -> dict[str, Any]:
    """Every figure: of the photos, of faces made for their labels, of the prior's own, over the seeds."""
    space, judge = LatentSpace(load_model(config.weights, config.device)), Evaluators.load(config.evaluators)
    enlarger, size = space.model.enlarger, space.model.generator.image_size
    crops = load_celeba(config.celeba, config.part, config.limit, image_size=size)
    assert crops.labels is not None
    labels, photos = crops.labels, centre(crops.images, size)
    real, half = judge.features(photos), len(photos) // 2
    side = size if enlarger is None else 2 * size
    large = centre(load_celeba(config.celeba, config.part, config.limit, image_size=side).images, side)
    outside = load_outside() if config.outside else None
    rest = outside.mobile.features(large[half:]) if outside else None

    def row(images: Tensor, shown: Tensor) -> dict[str, Any]:
        """Of pictures (N, 3, S, S), and as many as are half of the photos as they are shown."""
        features, scores = judge.features(images), attribute_scores(judge.read(images), labels.bool(), ATTRIBUTES)
        far = {}
        if outside is not None and rest is not None:
            far["outside"] = frechet_distance(outside.mobile.features(shown), rest)
        return {
            **scores,
            "frechet": frechet_distance(features, real),
            "diversity": diversity(features) / diversity(real),
            **far,
        }

    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for seed in tqdm(config.seeds, desc="generated faces", leave=False):
        for name, images in _faces(space, labels, seed).items():
            rows[name].append(row(images, _shown(enlarger, images[:half])))
    found = {"photos": row(photos, large[:half]), **{name: spread(each) for name, each in rows.items()}}
    return {"settings": dataclasses.asdict(config), **found}


def tables(figures: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    titles = {name: title for name, title in _TITLES.items() if name in figures}
    keys = ["accuracy", "precision", "recall", "f1", "frechet", "diversity"]
    keys += ["outside"] * ("outside" in figures["photos"])
    lines = [[title, *(f"{figures[name][key]:.3f}" for key in keys)] for name, title in titles.items()]
    made = [name for name in titles if name != "prior"]
    found = [
        [attribute, *(f"{figures[name]['per_attribute'][attribute]['accuracy']:.3f}" for name in made)]
        for attribute in ATTRIBUTES
    ]
    return "\n".join([*table(["", *keys], lines), "", *table(["accuracy", *(titles[name] for name in made)], found)])


@program
def main() -> None:
    config = parse(GeneratedConfig)
    if config.threads:
        torch.set_num_threads(config.threads)
    figures = measure(config)
    keep(config.out, figures)
    print(tables(figures))


if __name__ == "__main__":
    main()
