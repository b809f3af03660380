"""From a photo to its latent: the encoder's guess, finished by a few steps of descent on this one photo.

An encoder that must guess for every photo guesses a little wrong for each (the amortisation gap, Cremer, Li and
Duvenaud 2018). So its guess is where descent on the negative log joint, -log p(x|z) - log p(z), begins (semi-amortised
inference, Kim et al. 2018). What that gains on held-out photos is in the model card.

Pixels alone would let thin glasses and half a smile go, which are few pixels; to a classifier they are not little, so
its features are compared as well (as VAE/GAN does with a discriminator's: Larsen et al. 2016, equation 8).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lc.classifier import Classifier, feature_distance
from lc.generator import Generator, unsharp
from lc.losses import pixel_nll

__all__ = ["STEPS", "descend", "infer"]

#: Steps of descent. The first three gain four fifths, in decibels, of what forty would.
STEPS = 4
#: Amount of unsharp masking of a photo before it is descended to. Squares reward a fainter line over one that is a
#: pixel off; without this, descent takes back the contrast that the decoder was sharpened for.
CONTRAST = 0.42
#: Standard deviation of p(x|z), of pixels in [0, 1]: what the VAE was trained with.
SIGMA_X = 0.08
#: What a unit of feature distance counts, in nats. Up to here it costs no decibel.
LIKENESS = 1000.0
# First size of a step, in variances of the posterior; see `descend`.
_RATE, _MOMENTUM = 0.1, 0.5


@torch.inference_mode(False)
def infer(
    generator: Generator,
    images: Tensor,
    steps: int = STEPS,
    *,
    perceptual: Classifier | None = None,
    contrast: float = CONTRAST,
) -> tuple[Tensor, Tensor]:
    """The latent of each photo, sharpened by `contrast`: never a less likely one for it than the encoder's mean.

    Draws nothing by chance.

    Args:
        generator: the frozen model.
        images: (B, 3, 64, 64) in [0, 1].
        steps: see `descend`.
        perceptual: its features are to be like the photo's; None compares pixels only.
        contrast: see `CONTRAST`; 0 looks for the images as they are.

    Returns:
        (B, latent), and what is decoded from it, (B, 3, 64, 64).
    """
    images = images.clone()  # what was made in inference mode cannot take part in gradients
    with torch.no_grad():
        posterior = generator.encode(images)
        if not steps:
            return posterior.mean, generator.decode(posterior.mean)
        wanted = unsharp(images, contrast).clamp(0, 1)
        features = perceptual.maps(images) if perceptual else []

    def energy(z: Tensor, decoded: Tensor) -> Tensor:
        missed = pixel_nll(wanted, decoded, SIGMA_X) + z.square().sum(1) / 2
        if perceptual:
            missed = missed + LIKENESS * feature_distance(perceptual.maps(decoded), features)
        return missed

    return descend(generator.decode, energy, posterior.mean, posterior.std.square(), steps)


@torch.inference_mode(False)
def descend(
    decode: Callable[[Tensor], Tensor],
    energy: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    variance: Tensor,
    steps: int,
) -> tuple[Tensor, Tensor]:
    """Downhill with momentum in latent space: no row ends higher than it began.

    The posterior's variance scales each dimension's step: it is an estimate of the inverse curvature there, so this
    is close to Newton's method, with a diagonal Hessian that comes for nothing.

    Args:
        decode: z (B, latent) -> pictures (B, C, H, W), differentiable.
        energy: z and its pictures -> (B,), differentiable, each row's its own. It is first asked about the start.
        start: (B, latent).
        variance: (B, latent) or (latent,), of q(z|x).
        steps: how many; a row that one leads uphill goes on with half of its size. Each takes a forward and a backward
            pass, and one more forward pass ends them.

    Returns:
        (B, latent), and their pictures.
    """
    best = z = start.detach().clone()
    shown = z.new_empty(0)
    lowest = torch.full((len(z), 1), torch.inf, device=z.device)
    size, move, downhill = torch.full_like(lowest, _RATE), torch.zeros_like(z), torch.zeros_like(z)
    for step in range(steps + 1):
        last = step == steps
        with torch.set_grad_enabled(not last):
            z = z.detach().requires_grad_(not last)
            picture = decode(z)
            height = energy(z, picture)[:, None]
        better = height.detach() < lowest
        best, lowest = torch.where(better, z.detach(), best), torch.where(better, height.detach(), lowest)
        shown = torch.where(better[..., None, None], picture.detach(), shown) if step else picture.detach()
        if last:
            break
        (gradient,) = torch.autograd.grad(height.sum(), z)
        # A step that led uphill is taken back, and half of it tried.
        size = torch.where(better, size, size / 2)
        downhill = torch.where(better, gradient, downhill)
        move = torch.where(better, _MOMENTUM * move, 0.0) + downhill
        z = best - size * variance * move
    return best, shown
