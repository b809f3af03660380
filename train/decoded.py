"""Latents to learn critics from where a generator has no encoder: draws from its prior, read in their pictures.

    python -m train.decoded --weights runs/gan/weights --classifiers weights/celeba-64 --celeba data/celebahq \\
        --out runs/decoded

No photo's label takes part. Draws from the prior are decoded; the guidance classifier says what their pictures show,
and of all draws those are kept whose pictures look most like photos: by the ratio of densities of photos and pictures
in the perceptual classifier's features, as discriminator rejection sampling has it (Azadi et al. 2019), both taken for
Gaussians of one covariance, which makes the logarithm of the ratio linear. What is kept stands for q(z): the realism
critic learns to tell it from the prior, the attribute critic what was read in it.

Writes latents.safetensors for `train.critics --latents`, and into the weights folder both classifiers, which edits are
corrected by and photos are inverted by, and contrast.safetensors, see `lc.contrast`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor
from tqdm import tqdm

from lc.classifier import Classifier
from lc.contrast import save_contrast
from lc.files import write_bytes
from lc.generator import Generator, from_prior
from lc.weights import load_classifier, load_generator, load_statistics, save_classifier, to_device
from train.attributes import ATTRIBUTES
from train.data import MARGIN, centre, load_celeba
from train.engine import parse, program

__all__ = ["DecodedConfig", "Drawn", "draw", "main", "photolike"]


@dataclass(frozen=True)
class DecodedConfig:
    """Draw latents from a generator's prior and read their pictures."""

    out: Path = Path("runs/decoded")
    weights: Path = Path("runs/gan/weights")
    """Weights folder of the generator; the classifiers go into it."""
    classifiers: Path = Path("weights/celeba-64")
    """Folder of the classifiers "guide" and "perceptual"."""
    celeba: Path = Path("data/celebahq")
    photos: int = 4_000
    """Photos that pictures are compared with, the first of the training part."""
    draws: int = 40_000
    kept: float = 0.5
    """Share of the draws that is kept."""
    contrast: int = 1_000
    """Latents in contrast.safetensors."""
    margin: int = MARGIN
    """Pixels around a crop, on every side, in the set's cache."""
    seed: int = 0
    device: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.kept <= 1 or min(self.photos, self.draws, self.contrast) < 2:
            raise ValueError(f"kept must be in (0, 1], and photos, draws and contrast at least 2: {self}")


@dataclass(frozen=True)
class Drawn:
    """Draws from a prior: (N, latent) z, (N, A) labels in {0, 1} that were read, (N, D) features of the pictures."""

    z: Tensor
    labels: Tensor
    features: Tensor

    def at(self, rows: Tensor) -> Drawn:
        """Some of the rows."""
        return Drawn(*(x[rows] for x in vars(self).values()))


@torch.inference_mode()
def draw(
    generator: Generator, guide: Classifier, perceptual: Classifier, count: int, seed: int, batch: int = 128
) -> Drawn:
    """Draw from the prior and read what is decoded."""
    chance, device = torch.Generator().manual_seed(seed), next(guide.parameters()).device
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    noise = torch.randn(count, generator.latent, generator=chance)
    for part in tqdm(noise.split(batch), desc="draw", leave=False):
        z = from_prior(generator, part.to(device))
        pictures = generator.decode(z)
        parts.append((z.cpu(), guide.read(pictures).float().cpu(), perceptual.features(pictures).cpu()))
    return Drawn(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def photolike(features: Tensor, photos: Tensor) -> Tensor:
    """The logarithm of the ratio of two Gaussians of one covariance, less a constant: how like photos, (N,).

    Args:
        features: of pictures, (N, D).
        photos: features of photos, (M, D).
    """
    both = torch.cat([features - features.mean(0), photos - photos.mean(0)]).double()
    covariance = both.T @ both / len(both)
    covariance += 1e-2 * covariance.diagonal().mean() * torch.eye(covariance.shape[0], dtype=covariance.dtype)
    direction = torch.linalg.solve(covariance, (photos.mean(0) - features.mean(0)).double())
    return (features.double() @ direction).float()


@program
def main() -> None:
    config = parse(DecodedConfig)
    if config.threads:
        torch.set_num_threads(config.threads)
    device = to_device(config.device)
    generator, statistics = load_generator(config.weights).to(device), load_statistics(config.weights)
    guide, perceptual = (load_classifier(config.classifiers, name) for name in ("guide", "perceptual"))
    size = generator.image_size
    images = load_celeba(config.celeba, "train", config.photos, image_size=size, margin=config.margin).images
    drawn = draw(generator, guide.to(device), perceptual.to(device), config.draws, config.seed)
    with torch.inference_mode():
        photos = torch.cat([perceptual.features(centre(x, size).to(device)).cpu() for x in images.split(128)])
    score = photolike(drawn.features, photos)
    kept = drawn.at(score.argsort(descending=True)[: round(config.kept * len(score))].sort().values)
    mean = kept.z[:, None]  # (N, 1, latent): one look at each
    tensors = {"mean": mean, "std": statistics.sigma_bar.expand_as(mean), "labels": kept.labels}
    config.out.mkdir(parents=True, exist_ok=True)
    path = config.out / "latents.safetensors"
    write_bytes(path, safetensors.torch.save({name: x.contiguous() for name, x in tensors.items()}))
    for name, classifier in (("guide", guide), ("perceptual", perceptual)):
        save_classifier(config.weights, name, classifier.cpu())
    save_contrast(config.weights, kept.z[: config.contrast], statistics)
    shares = ", ".join(
        f"{name} {share:.3f}" for name, share in zip(ATTRIBUTES, kept.labels.mean(0).tolist(), strict=True)
    )
    print(f"{len(kept.z)} latents in {path}; read in them: {shares}")


if __name__ == "__main__":
    main()
