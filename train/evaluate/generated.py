"""Measure generated faces: do they show what was asked for? No photo is inverted, so any generator takes a minute.

    python -m train.evaluate.generated --weights weights/gan-64 --evaluators weights/judges-64 --celeba data/celebahq
    python -m train.evaluate.generated --weights weights/celeba-64 --evaluators weights/judges-64 --celeba data/celebahq

For the label vector of each held-out photo the actor makes a face of a draw from the prior, and the evaluation
classifier, which no loss has heard, reads it: element-wise accuracy and support-weighted F1, beside those of the photos
themselves and of the prior's own faces, and the Frechet distance and diversity in the features of the realism
classifier.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from lc.edit.actor import generate
from lc.edit.space import LatentSpace
from lc.generator import from_prior
from lc.weights import load_model
from train.attributes import ATTRIBUTES
from train.data import centre, load_celeba
from train.engine import parse, program
from train.evaluate.crops import rounded, spread
from train.evaluate.readers import Evaluators
from train.evaluate.report import keep
from train.evaluate.tables import table
from train.metrics import attribute_scores, diversity, frechet_distance

__all__ = ["GeneratedConfig", "main", "measure"]

_BATCH = 64


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
    out: Path = Path("runs/generated.json")
    device: str = "auto"
    threads: int = 0


@torch.inference_mode()
def _faces(space: LatentSpace, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """For labels (N, A) in {0, 1} what the actor makes of as many draws, and the draws as they are, (N, 3, S, S)."""
    model, made, plain = space.model, [], []
    noise = torch.randn(len(labels), model.generator.latent, generator=torch.Generator().manual_seed(seed))
    z = from_prior(model.generator, noise.to(space.sigma_bar.device))
    for rows, wanted in zip(z.split(_BATCH), labels.to(z.device).split(_BATCH), strict=True):
        made.append(rounded(model.generator.decode(generate(space, rows, wanted, 0.0))))
        plain.append(rounded(model.generator.decode(rows)))
    return torch.cat(made), torch.cat(plain)


def measure(config: GeneratedConfig) -> dict[str, Any]:
    """Every figure: of the photos, of faces made for their labels, of the prior's own, over the seeds."""
    space, judge = LatentSpace(load_model(config.weights, config.device)), Evaluators.load(config.evaluators)
    size = space.model.generator.image_size
    crops = load_celeba(config.celeba, config.part, config.limit, image_size=size)
    assert crops.labels is not None
    labels, photos = crops.labels, centre(crops.images, size)
    real = judge.features(photos)

    def row(images: Tensor) -> dict[str, Any]:
        features, scores = judge.features(images), attribute_scores(judge.read(images), labels.bool(), ATTRIBUTES)
        return {
            **scores,
            "frechet": frechet_distance(features, real),
            "diversity": diversity(features) / diversity(real),
        }

    rows: dict[str, list[dict[str, Any]]] = {"actor": [], "prior": []}
    for seed in tqdm(config.seeds, desc="generated faces", leave=False):
        for name, images in zip(rows, _faces(space, labels, seed), strict=True):
            rows[name].append(row(images))
    settings = dataclasses.asdict(config)
    return {"settings": settings, "photos": row(photos), **{name: spread(found) for name, found in rows.items()}}


def tables(figures: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    keys = ("accuracy", "precision", "recall", "f1", "frechet", "diversity")
    titles = {"photos": "photos", "actor": "faces by the actor", "prior": "the prior's faces"}
    lines = [[title, *(f"{figures[name][key]:.3f}" for key in keys)] for name, title in titles.items()]
    found = [
        [name, *(f"{figures[row]['per_attribute'][name]['accuracy']:.3f}" for row in ("photos", "actor"))]
        for name in ATTRIBUTES
    ]
    return "\n".join([*table(["", *keys], lines), "", *table(["accuracy", "photos", "faces by the actor"], found)])


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
