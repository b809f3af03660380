"""A small run of every stage of training, and what it starts from, for tests of all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tiny import LATENT, write_tiny_weights

from lc.classifier import Classifier, ClassifierConfig
from lc.critics import LatentStatistics, NetConfig
from lc.parser import Parser, ParserConfig
from lc.regions import RegionConfig
from lc.upsampler import UpsamplerConfig
from lc.vae import VAE, VAEConfig
from lc.weights import (
    load_classifier,
    save_classifier,
    save_config,
    save_generator,
    save_module,
    save_statistics,
)
from train.attributes import ATTRIBUTES
from train.classifier import ClassifierStage, ClassifierTraining
from train.critics import CriticsStage, CriticsTraining
from train.distil import Distillation, DistilTraining
from train.finish import Finishing, FinishTraining
from train.inherit import Inheritance, InheritTraining
from train.matching import Matching, MatchingTraining
from train.painter import Pictures
from train.parser import ParserStage, ParserTraining
from train.regions import RegionStage, RegionTraining
from train.sharpen import Sharpening, SharpenTraining
from train.upsampler import UpsamplerTraining, Upsampling
from train.vae import VAEStage, VAETraining

STEPS = 8
SMALL: dict[str, Any] = {"device": "cpu", "bf16": False, "log_steps": 1}
NET = NetConfig(latent=LATENT, width=16, layers=2)


def write_classifiers(folder: Path) -> Path:
    """A guidance and a perceptual classifier, untrained."""
    for name in ("guide", "perceptual"):
        torch.manual_seed(len(name))
        save_classifier(folder, name, Classifier(ClassifierConfig(widths=(8, 8, 8, 8))))
    return folder


def vae(celeba: Path, place: Path, classifiers: Path) -> tuple[Any, Any, Path]:
    sizes = VAEConfig(latent=16, widths=(8, 8, 8, 8), bottleneck=8)
    options: dict[str, Any] = {"model": sizes, "images": 4 * STEPS, "batch": 4, "decoder_first": 2, "colour": 0.1}
    return (
        VAEStage,
        VAETraining(place / "run", celeba=celeba, perceptual=classifiers, **options, **SMALL),
        place / "run/weights",
    )


def classifier(celeba: Path, place: Path, classifiers: Path) -> tuple[Any, Any, Path]:
    options: dict[str, Any] = {"model": ClassifierConfig(widths=(8, 8, 8, 8)), "epochs": 3, "batch": 8}
    weights = write_tiny_weights(place / "weights")
    config = ClassifierTraining(place / "run", kind="guidance", celeba=celeba, vae=weights, **options, **SMALL)
    return ClassifierStage, config, place / "run" / "weights"


def taught(celeba: Path, place: Path, classifiers: Path) -> tuple[Any, Any, Path]:
    kind, config, weights = classifier(celeba, place, classifiers)
    return kind, replace(config, teachers=(classifiers,)), weights


def sharpen(celeba: Path, place: Path, classifiers: Path) -> tuple[Any, Any, Path]:
    weights = write_tiny_weights(place / "weights")
    options: dict[str, Any] = {"images": 4 * STEPS, "batch": 4, "width": 8, "detail": 4, "imagined": 4, "made": 0.5}
    paths: dict[str, Any] = {
        "celeba": celeba,
        "vae": weights,
        "weights": weights,
        "perceptual": classifiers,
        "editor": weights,
    }
    return Sharpening, SharpenTraining(place / "run", **paths, **options, **SMALL), weights


def upsampler(celeba: Path, place: Path, classifiers: Path) -> tuple[Any, Any, Path]:
    weights = write_tiny_weights(place / "weights")
    model = UpsamplerConfig(width=8, blocks=1, fine=4)
    options: dict[str, Any] = {"images": 4 * STEPS, "batch": 4, "width": 8, "vgg": None, "model": model}
    config = UpsamplerTraining(place / "run", celeba=celeba, vae=weights, **options, **SMALL)
    return Upsampling, config, place / "run" / "weights"


def region(celeba: Path, place: Path, classifiers: Path) -> tuple[Any, Any, Path]:
    weights = write_tiny_weights(place / "weights")
    parser = Parser(ParserConfig(widths=(4, 4, 4, 4)))
    save_config(weights, parser=vars(parser.config))
    save_module(weights, "parser", parser)
    model = RegionConfig(code=4, widths=(8, 8, 8, 8), fine=4)
    options: dict[str, Any] = {"images": 4 * STEPS, "batch": 4, "width": 8, "model": model}
    config = RegionTraining(place / "run", celeba=celeba, weights=weights, **options, **SMALL)
    return RegionStage, config, place / "run" / "weights"


class Repainting(Finishing):
    """Of pictures by chance: no face is found in toys."""

    def pictures(self) -> tuple[Pictures, Pictures, Pictures]:
        chance = np.random.default_rng(0)
        shape = 144, 144
        made = [
            (*(chance.uniform(0, 255, (*shape, 3)).astype(np.float32) for _ in range(3)), np.ones(shape, np.float32))
            for _ in range(32)
        ]
        return Pictures.of(made[:4]), Pictures.of(made[4:28]), Pictures.of(made[28:])  # type: ignore[arg-type]


def finisher(celeba: Path, place: Path, classifiers: Path) -> tuple[Any, Any, Path]:
    weights = write_tiny_weights(place / "weights")
    model = UpsamplerConfig(width=8, blocks=1, fine=4)
    options: dict[str, Any] = {"images": 2 * STEPS, "batch": 2, "width": 8, "model": model}
    config = FinishTraining(place / "run", celeba=celeba, weights=weights, **options, **SMALL)
    return Repainting, config, place / "run" / "weights"


def critics(celeba: Path, place: Path, classifiers: Path) -> tuple[Any, Any, Path]:
    weights = write_tiny_weights(place / "weights")
    options: dict[str, Any] = {"steps": STEPS, "batch": 12, "actor": NET, "critic": NET}
    options["attribute_critic"] = replace(NET, dropout=0.2)
    return (
        CriticsStage,
        CriticsTraining(place / "run", celeba=celeba, vae=weights, guidance=(classifiers,), **options, **SMALL),
        weights,
    )


def distil(celeba: Path, place: Path, classifiers: Path) -> tuple[Any, Any, Path]:
    weights = write_tiny_weights(place / "weights")
    options: dict[str, Any] = {"photos": 8, "searches": 4, "rows": 4, "steps": STEPS, "batch": 8, "correction_steps": 1}
    paths: dict[str, Any] = {"weights": weights, "celeba": celeba, "found": (place / "found.safetensors",)}
    return Distillation, DistilTraining(place / "run", teachers=(classifiers,), **paths, **options, **SMALL), weights


def parser(celeba: Path, place: Path, classifiers: Path) -> tuple[Any, Any, Path]:
    torch.manual_seed(0)
    images, masks = torch.randint(255, (9, 3, 48, 48)).byte(), torch.randint(9, (9, 48, 48)).byte()
    place.mkdir(exist_ok=True)
    cache = place / "faces.safetensors"
    save_file({"images": images, "masks": masks, "part": (torch.arange(9) > 6).long()}, cache)
    model = ParserConfig(image_size=32, widths=(8, 8, 8, 8))
    config = ParserTraining(place / "run", cache=cache, model=model, images=4 * STEPS, batch=4, **SMALL)
    return ParserStage, config, place / "run" / "weights"


def half_masked(celeba: Path, place: Path, classifiers: Path) -> tuple[Any, Any, Path]:
    kind, config, weights = parser(celeba, place, classifiers)
    return kind, replace(config, unmasked=celeba, warmup=2), weights


def matching(celeba: Path, place: Path, classifiers: Path) -> tuple[Any, Any, Path]:
    weights, scenes = write_tiny_weights(place / "weights"), place / "scenes.safetensors"
    for name in ("guide", "perceptual"):
        save_classifier(weights, name, load_classifier(classifiers, name))
    torch.manual_seed(0)
    pictures, person = (torch.randint(255, (48, channels, 64, 64)).byte() for channels in (3, 1))
    labels = torch.randint(2, (48, len(ATTRIBUTES))).byte()
    save_file({"z": torch.randn(48, LATENT), "pictures": pictures, "person": person, "labels": labels}, scenes)
    options: dict[str, Any] = {"steps": STEPS, "batch": 6, "held_out": 2, "changes": ("Bald=1", "Eyeglasses=0")}
    options["scales"] = (1.0, 1.2)
    return Matching, MatchingTraining(place / "run", weights=weights, scenes=scenes, **options, **SMALL), weights


def inherit(celeba: Path, place: Path, classifiers: Path) -> tuple[Any, Any, Path]:
    source, weights = write_tiny_weights(place / "source"), place / "weights"
    for name in ("guide", "perceptual"):
        classifier = load_classifier(classifiers, name)
        classifier.head[1].weight.data.mul_(300)  # an untrained one's logits hardly change with a latent
        save_classifier(source, name, classifier)
    sizes = VAEConfig(latent=12, widths=(8, 8, 8, 8), bottleneck=8, patch=4, linear=16)
    torch.manual_seed(0)
    save_generator(weights, VAE(sizes))
    save_statistics(weights, LatentStatistics(torch.zeros(12), torch.ones(12), torch.full((12,), 0.3)))
    net = replace(NET, latent=12)
    options: dict[str, Any] = {"actor": net, "critic": net, "attribute_critic": replace(net, dropout=0.2)}
    options |= {"photos": 6, "edits": 8, "rows": 2, "steps": STEPS, "batch": 8, "source": source}
    return Inheritance, InheritTraining(place / "run", weights=weights, celeba=celeba, **options, **SMALL), weights


#: Each gives a kind of stage, a configuration of it, and the weights folder that it writes.
ALL = [
    vae,
    classifier,
    taught,
    sharpen,
    upsampler,
    region,
    finisher,
    critics,
    distil,
    parser,
    half_masked,
    matching,
    inherit,
]
