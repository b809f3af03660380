"""From a photo to its latent: the encoder's guess, finished by a few steps of descent on this one photo.

An encoder that must guess for every photo guesses a little wrong for each (the amortisation gap, Cremer, Li and
Duvenaud 2018). So its guess is where descent on the negative log joint, -log p(x|z) - log p(z), begins (semi-amortised
inference, Kim et al. 2018). What that gains on held-out photos is in docs/history.md.

Where a generator has no encoder, descent begins at the best of the mean latent and a few draws. It needs many more
steps, and two stand-ins for what an encoder says: `measured_statistics` gives the posterior's standard deviation from
how much the picture changes with each dimension.

Pixels alone would let thin glasses and half a smile go, which are few pixels; to a classifier they are not little, so
its features are compared as well (as VAE/GAN does with a discriminator's: Larsen et al. 2016, equation 8).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lc.classifier import Classifier, feature_distance
from lc.critics import LatentStatistics
from lc.generator import EncodingGenerator, Generator, from_prior, to_noise
from lc.losses import pixel_nll
from lc.tuning import Tuning
from lc.vae import unsharp

__all__ = ["descend", "guess", "invert", "measured_statistics"]

_CANDIDATES = 64  # places where descent may begin without an encoder


@torch.inference_mode(False)
def invert(
    generator: Generator,
    images: Tensor,
    tuning: Tuning,
    *,
    statistics: LatentStatistics | None = None,
    steps: int | None = None,
    contrast: float | None = None,
    perceptual: Classifier | None = None,
) -> tuple[Tensor, Tensor]:
    """The latent of each photo: never a less likely one for it than where descent begins.

    Draws nothing by chance: without an encoder, the draws are always the same.

    Args:
        generator: the frozen model; S is its image size.
        images: (B, 3, S, S) in [0, 1].
        tuning: of the weights.
        statistics: of latents; needed where the generator has no encoder, else not used.
        steps: of descent, see `descend`; None takes the tuning's.
        contrast: amount of unsharp masking of the photos; None takes the tuning's, 0 looks for them as they are.
        perceptual: its features are to be like the photo's; None compares pixels only.

    Returns:
        (B, latent), and what is decoded from it, (B, 3, S, S).

    Raises:
        ValueError: no encoder and no statistics.
    """
    images = images.clone()  # what was made in inference mode cannot take part in gradients
    steps = tuning.inversion_steps if steps is None else steps
    contrast = tuning.inversion_contrast if contrast is None else contrast
    with torch.no_grad():
        start, variance = _start(generator, images, statistics)
        if not steps:
            return start, generator.decode(start)
        wanted = unsharp(images, contrast).clamp(0, 1)
        features = perceptual.maps(images) if perceptual else []

    def energy(z: Tensor, decoded: Tensor) -> Tensor:
        missed = pixel_nll(wanted, decoded, tuning.sigma_x) + to_noise(generator, z).square().sum(1) / 2
        if perceptual:
            missed = missed + tuning.perceptual_weight * feature_distance(perceptual.maps(decoded), features)
        return missed

    rate, momentum = tuning.inversion_rate, tuning.inversion_momentum
    return descend(generator.decode, energy, start, variance, steps, rate=rate, momentum=momentum)


@torch.inference_mode(False)
@torch.no_grad()
def guess(generator: Generator, images: Tensor, statistics: LatentStatistics | None = None) -> Tensor:
    """Where `invert` begins, (B, latent): the encoder's guess. Arguments are those of `invert`."""
    return _start(generator, images.clone(), statistics)[0]


def _start(generator: Generator, images: Tensor, statistics: LatentStatistics | None) -> tuple[Tensor, Tensor]:
    """Where descent begins, (B, latent), and the posterior's variance there, (B, latent) or (latent,)."""
    if isinstance(generator, EncodingGenerator):
        posterior = generator.encode(images)
        return posterior.mean, posterior.std.square()
    if statistics is None:
        raise ValueError("a generator without an encoder is inverted with statistics of its latents")
    chance = torch.Generator().manual_seed(0)
    noise = torch.randn(_CANDIDATES, generator.latent, generator=chance).to(images.device)
    noise[0] = 0  # the mean latent
    candidates = statistics.mean + statistics.std * noise
    pictures = generator.decode(candidates)
    missed = torch.cdist(images.flatten(1), pictures.flatten(1))  # (B, _CANDIDATES)
    return candidates[missed.argmin(1)], statistics.sigma_bar.square()


@torch.inference_mode(False)
def descend(
    decode: Callable[[Tensor], Tensor],
    energy: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    variance: Tensor,
    steps: int,
    *,
    rate: float,
    momentum: float,
) -> tuple[Tensor, Tensor]:
    """Gradient descent with momentum in latent space: no row ends higher than it began.

    The posterior's variance scales each dimension's step: it is an estimate of the inverse curvature there, so this
    is close to Newton's method, with a diagonal Hessian that comes for nothing.

    Args:
        decode: z (B, latent) -> pictures (B, C, H, W), differentiable.
        energy: z and its pictures -> (B,), differentiable, each row's its own. It is first asked about the start.
        start: (B, latent).
        variance: (B, latent) or (latent,), of q(z|x).
        steps: how many; a row that one leads uphill goes on with half of its size. Each takes a forward and a backward
            pass, and one more forward pass ends them.
        rate: first size of a step, in variances.
        momentum: share of a step that is taken again with the next.

    Returns:
        (B, latent), and their pictures.
    """
    best = z = start.detach().clone()
    pictures = z.new_empty(0)
    lowest = torch.full((len(z), 1), torch.inf, device=z.device)
    size, move, downhill = torch.full_like(lowest, rate), torch.zeros_like(z), torch.zeros_like(z)
    for step in range(steps + 1):
        last = step == steps
        with torch.set_grad_enabled(not last):
            z = z.detach().requires_grad_(not last)
            picture = decode(z)
            height = energy(z, picture)[:, None]
        better = height.detach() < lowest
        best, lowest = torch.where(better, z.detach(), best), torch.where(better, height.detach(), lowest)
        pictures = torch.where(better[..., None, None], picture.detach(), pictures) if step else picture.detach()
        if last:
            break
        (gradient,) = torch.autograd.grad(height.sum(), z)
        # A step that led uphill is taken back, and half of it tried.
        size = torch.where(better, size, size / 2)
        downhill = torch.where(better, gradient, downhill)
        move = torch.where(better, momentum * move, 0.0) + downhill
        z = best - size * variance * move
    return best, pictures


@torch.inference_mode(False)
def measured_statistics(
    generator: Generator, sigma_x: float, *, draws: int = 64, probes: int = 8, seed: int = 0
) -> LatentStatistics:
    """Statistics of latents for a generator without an encoder: its prior's mean and std, and a stand-in for sigma_bar.

    Around a latent the posterior is about a Gaussian of precision 1 / std_i^2 + J_i^T J_i / sigma_x^2, with J_i the
    picture's derivative in dimension i (Laplace's approximation, with Gauss and Newton's curvature). |J_i|^2 is the
    mean square of (J^T v)_i over random signs v (Hutchinson 1989); it is averaged over draws from the prior.

    Args:
        generator: the frozen model.
        sigma_x: standard deviation of the pixels that it is taken to explain, see `Tuning.sigma_x`.
        draws: latents to average over.
        probes: random signs for each.
        seed: source of chance.
    """
    chance = torch.Generator().manual_seed(seed)
    z = from_prior(generator, torch.randn(draws, generator.latent, generator=chance)).requires_grad_(True)
    with torch.enable_grad():
        pictures = generator.decode(z)
        squares = torch.zeros(generator.latent)
        for _ in range(probes):
            signs = torch.randint(0, 2, pictures.shape, generator=chance).to(pictures) * 2 - 1
            (slope,) = torch.autograd.grad((pictures * signs).sum(), z, retain_graph=True)
            squares += slope.square().mean(0) / probes
    ends = from_prior(generator, torch.tensor([[0.0], [1.0]]).expand(2, generator.latent)).detach()
    mean, std = ends[0], ends[1] - ends[0]
    return LatentStatistics(mean, std, (1 / std.square() + squares / sigma_x**2).rsqrt())
