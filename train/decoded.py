"""Latents to learn critics from where a generator has no encoder: what their pictures show is read in these.

    python -m train.decoded --weights runs/gan/weights --codes runs/gan/codes.safetensors --kept 1 \\
        --classifiers weights/celeba-64 --celeba data/celebahq --out runs/decoded

No photo's label takes part. Latents are decoded, and the guidance classifier says what their pictures show: the codes
at which a generator has learned to draw photos, where it has learned so (`train.gan`), else draws from the prior. Of
all of them those are kept whose pictures look most like photos: by the ratio of densities of photos and pictures
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
from lc.errors import WeightsError
from lc.files import write_bytes
from lc.generator import Generator, from_prior
from lc.weights import load_classifier, load_generator, load_statistics, save_classifier, to_device
from train.attributes import ATTRIBUTES
from train.data import MARGIN, centre, load_celeba
from train.engine import parse, program

__all__ = ["DecodedConfig", "Drawn", "latents_to_read", "main", "photolike", "read"]


@dataclass(frozen=True)
class DecodedConfig:
    """Read the pictures of a generator's latents."""

    out: Path = Path("runs/decoded")
    weights: Path = Path("runs/gan/weights")
    """Weights folder of the generator; the classifiers go into it."""
    classifiers: Path = Path("weights/celeba-64")
    """Folder of the classifiers "guide" and "perceptual"."""
    celeba: Path = Path("data/celebahq")
    photos: int = 4_000
    """Photos that pictures are compared with, the first of the training part."""
    codes: Path | None = None
    """Latents to read, "z" (N, latent), as train.gan writes them; none: draws from the prior."""
    draws: int = 40_000
    """How many latents are read: the first of the codes, if there are more."""
    kept: float = 0.5
    """Share of them that is kept."""
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
    """Latents: (N, latent) z, (N, A) labels in {0, 1} that were read, (N, D) features of the pictures."""

    z: Tensor
    labels: Tensor
    features: Tensor

    def at(self, rows: Tensor) -> Drawn:
        """Some of the rows."""
        return Drawn(*(x[rows] for x in vars(self).values()))


def latents_to_read(config: DecodedConfig, generator: Generator, device: torch.device) -> Tensor:
    """The codes, or draws from the prior, (N, latent).

    Raises:
        WeightsError: the file of codes is none, or the codes are another generator's.
    """
    if config.codes is None:
        chance = torch.Generator().manual_seed(config.seed)
        noise = torch.randn(config.draws, generator.latent, generator=chance)
        return torch.cat([from_prior(generator, part.to(device)).cpu() for part in noise.split(512)])
    try:
        codes = safetensors.torch.load_file(config.codes)["z"]
    except (OSError, KeyError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{config.codes} is no file of codes: take the codes.safetensors of train.gan.") from error
    if codes.ndim != 2 or codes.shape[1] != generator.latent:
        raise WeightsError(
            f"{config.codes} has codes of shape {tuple(codes.shape)}, and not (N, {generator.latent}): take those "
            f"that were written beside {config.weights}."
        )
    return codes[: config.draws]


@torch.inference_mode()
def read(generator: Generator, guide: Classifier, perceptual: Classifier, latents: Tensor, batch: int = 128) -> Drawn:
    """Decode latents (N, latent), and read what is decoded."""
    device = next(guide.parameters()).device
    parts: list[tuple[Tensor, Tensor]] = []
    for z in tqdm(latents.split(batch), desc="read", leave=False):
        pictures = generator.decode(z.to(device))
        parts.append((guide.read(pictures).float().cpu(), perceptual.features(pictures).cpu()))
    return Drawn(latents, *(torch.cat(columns) for columns in zip(*parts, strict=True)))


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
    latents = latents_to_read(config, generator, device)
    drawn = read(generator, guide.to(device), perceptual.to(device), latents)
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
