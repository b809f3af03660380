"""Fit a Gaussian mixture to the encodings of photos: a density for z that needs no actor.

    python -m train.density --vae weights/celeba-64 --latents runs/critics/latents.safetensors

The mixture is scikit-learn's, over the leading principal axes of the whitened encodings; the remaining axes, which hold
mostly the encoder's noise, get a Gaussian each. Written beside the generator as density.safetensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from lc.weights import load_statistics
from train.data import MARGIN
from train.engine import parse, program
from train.inputs import load_encoding_generator
from train.latents import load_or_encode
from train.mixture import Density, DensityConfig, save_density


@dataclass(frozen=True)
class DensityTraining:
    """Fit a density of latents."""

    vae: Path = Path("runs/vae/weights")
    """Weights folder of the generator; the density is written into it."""
    celeba: Path = Path("data/celeba")
    extra: tuple[Path, ...] = ()
    """More crops from train.prepare."""
    latents: Path | None = None
    """File of encodings that train.critics has kept, or will be kept for it."""
    views: int = 2
    """Encodings per photo, where they are made here."""
    components: int = 12
    """Of the mixture."""
    leading: int = 160
    """Principal axes that the mixture models jointly."""
    rows: int = 16_000
    """Encodings that the mixture is fitted to, drawn at random: more take longer and change little."""
    floor: float = 1e-3
    """Added to the covariances' diagonals."""
    seed: int = 0
    margin: int = MARGIN
    """Pixels around a crop, on every side, that encoded photos may be shifted by."""
    limit: int | None = None
    """Use only so many photos: a dry run."""


def fit(mean: Tensor, std: Tensor, centre: Tensor, scale: Tensor, config: DensityTraining) -> Density:
    """Fit to q(z|x) of N photos: mean, std (N, latent) each; centre, scale (latent,) whiten them."""
    torch.manual_seed(config.seed)
    rows = torch.randperm(len(mean))[: config.rows]
    mean, std = mean[rows], std[rows]
    z = (mean + std * torch.randn_like(std) - centre) / scale  # draws: the encoder's noise belongs to q(z)
    leading = min(config.leading, z.shape[1])
    _, vectors = torch.linalg.eigh(torch.cov(z.T))
    axes = vectors.flip(1).T.contiguous()  # (latent, latent), largest variance first
    u = z @ axes.T
    components = min(config.components, len(u) // 2)
    settings = {"init_params": "k-means++", "reg_covar": config.floor, "max_iter": 40, "random_state": config.seed}
    mixture = GaussianMixture(components, **settings).fit(u[:, :leading].numpy())
    density = Density(DensityConfig(z.shape[1], components, leading))
    density.weights.copy_(torch.from_numpy(mixture.weights_))
    density.means.copy_(torch.from_numpy(mixture.means_))
    density.factors.copy_(torch.linalg.cholesky(torch.from_numpy(mixture.covariances_)))
    density.tail.copy_(u[:, leading:].std(0))
    density.centre.copy_(centre + u[:, leading:].mean(0) @ axes[leading:] * scale)
    density.axes.copy_(axes * scale)
    return density


@program
def main() -> None:
    config = parse(DensityTraining)
    device = torch.device("cpu")
    vae, statistics = load_encoding_generator(config.vae, device), load_statistics(config.vae)
    latents = load_or_encode(
        config.latents, vae, config.celeba, config.extra, config.views, config.limit, device, config.margin
    )
    mean, std = latents.mean.flatten(0, 1), latents.std.flatten(0, 1)
    save_density(config.vae, fit(mean, std, statistics.mean, statistics.std, config))
    print(f"density of {len(mean)} encodings in {config.vae}")


if __name__ == "__main__":
    main()
