"""Find a linear encoder in closed form: probabilistic PCA of the training photos.

    python -m train.linear --celeba data/celebahq --out runs/linear
    python -m train.vae --preset celeba-128 --init runs/linear/weights --out runs/vae128

x = W z + mean + noise with z ~ N(0, I) and noise ~ N(0, s^2 I) is likeliest with W = U (L - s^2)^1/2, where U and L are
the covariance's leading eigenvectors and eigenvalues, and then q(z|x) = N(L^-1 (L - s^2)^1/2 U^T (x - mean), s^2 L^-1)
(Tipping and Bishop 1999, equations 7 and 15): what a linear VAE converges to (Lucas et al. 2019), without training.
Photos are made small for it, and pixels in the middle of the face count more. The decoder begins by drawing W z + mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from lc.vae import VAE, LinearEncoder, VAEConfig
from lc.weights import save_generator, save_statistics
from train.data import augment, centre, load_celeba, load_training
from train.engine import parse, program
from train.vae import PRESETS, focus_map, latent_statistics, reconstruction_psnr

__all__ = ["LinearConfig", "fit", "main"]

_MORE = 64  # directions looked for beyond those kept, which are the more exact for it (Halko et al. 2011)


@dataclass(frozen=True)
class LinearConfig:
    """Find a linear encoder."""

    out: Path = Path("runs/linear")
    celeba: Path = Path("data/celebahq")
    extra: tuple[Path, ...] = ()
    """More crops from train.prepare."""
    model: VAEConfig = PRESETS["celeba-128"].model
    sigma_x: float = 0.07
    """Standard deviation of the pixel likelihood, pixels in [0, 1]."""
    focus: float = 3.0
    """How many times more a pixel counts in the middle of the face than in a corner, less one."""
    margin: int = 2
    """Pixels, up and down and to either side, that mirrored photos are shifted by at most."""
    seed: int = 0
    limit: int | None = None
    """Use only so many photos: a dry run."""
    threads: int = 0
    """CPU threads; 0 leaves that to torch."""


@torch.no_grad()
def fit(vae: VAE, images: Tensor, sigma_x: float, focus: float, seed: int = 0) -> None:
    """Give a VAE with a linear encoder what is likeliest, and a decoder that draws as much.

    Args:
        vae: changed in place.
        images: (N, 3, S + 2M, S + 2M) uint8, N more than half of `latent`: each is seen as it is and mirrored, shifted
            by up to M.
        sigma_x, focus: see `LinearConfig`.
        seed: of the shifts and of the randomised decomposition.

    Raises:
        ValueError: the VAE's encoder is not linear.
    """
    encoder, decoder = vae.encoder, vae.decoder
    if not isinstance(encoder, LinearEncoder):
        raise ValueError("the VAE's encoder is not linear")
    side, size, latent = vae.config.linear, vae.image_size, vae.latent
    chance = torch.Generator().manual_seed(seed)
    rows = torch.empty(2 * len(images), 3 * side * side)
    for index in tqdm(torch.arange(len(images)).split(512), desc="photos", leave=False):
        straight = centre(images[index], size)
        shifted = augment(images[index], chance, image_size=size, mirror=1.0)
        for offset, part in ((0, straight), (len(images), shifted)):
            rows[index + offset] = F.adaptive_avg_pool2d(part, side).flatten(1)
    mean = rows.mean(0)
    weight = focus_map(focus, side).sqrt().expand(3, side, side).flatten()
    rows.sub_(mean).mul_(weight)
    torch.manual_seed(seed)
    few = min(latent + _MORE, *rows.shape)
    singular, directions = torch.svd_lowrank(rows, few, niter=2)[1:]
    values, directions = singular[:latent].square() / len(rows), directions[:, :latent]  # L, U
    # A small pixel is the mean of several, and their noise averages out.
    noise = sigma_x**2 * (side / size) ** 2
    kept = (values - noise).clamp_min(0)
    read = (kept.sqrt() / values) * directions * weight[:, None]  # (3 side^2, latent)
    drawn = kept.sqrt() * directions / weight[:, None]
    shifts = (0.5 - mean)[:, None] * read  # for pixels in [-1, 1]
    for layer, part, shift in zip(encoder.colours, read.chunk(3), shifts.chunk(3), strict=True):
        _fill(layer, part.T / 2, shift.sum(0))
    for layer, part, shift in zip(decoder.colours, drawn.chunk(3), mean.chunk(3), strict=True):
        _fill(layer, part, shift)
    encoder.raw_std.copy_((noise / values).sqrt().clamp(max=1).expm1().log())
    for parameter in decoder.features[-1].parameters():
        nn.init.zeros_(parameter)


def _fill(layer: nn.Module, weight: Tensor, bias: Tensor) -> None:
    assert isinstance(layer, nn.Linear)
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


@program
def main() -> None:
    config = parse(LinearConfig)
    if config.threads:
        torch.set_num_threads(config.threads)
    size = config.model.image_size
    images = load_training(config.celeba, config.extra, config.limit, image_size=size, margin=config.margin).images
    held_out = load_celeba(config.celeba, "validation", 1_000, image_size=size).images
    torch.manual_seed(config.seed)
    vae = VAE(config.model)
    fit(vae, images, config.sigma_x, config.focus, config.seed)
    folder = config.out / "weights"
    save_generator(folder, vae)
    save_statistics(folder, latent_statistics(vae, images))
    print(f"held-out reconstruction {reconstruction_psnr(vae, centre(held_out, size)):.2f} dB; weights in {folder}")


if __name__ == "__main__":
    main()
