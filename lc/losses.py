"""The formulas of latent constraints, one function each. Source: arXiv 1711.05772, sections 2 to 4."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lc.generator import Posterior

__all__ = [
    "attribute_loss",
    "distance",
    "gradient_penalty",
    "kl_divergence",
    "not_satisfied",
    "pixel_nll",
    "satisfied",
]


def pixel_nll(images: Tensor, reconstruction: Tensor, sigma_x: float) -> Tensor:
    """-log N(x; decode(z), sigma_x^2) without its constant: sum over pixels of (x - x')^2 / (2 sigma_x^2).

    `sigma_x` is stated because 0.5 * MSE silently means sigma_x = 1, and gives blur.

    Args:
        images, reconstruction: (B, C, H, W) in [0, 1].
        sigma_x: standard deviation of the likelihood, in the same unit.

    Returns:
        (B,) in nats.
    """
    return (images - reconstruction).square().flatten(1).sum(1) / (2 * sigma_x**2)


def kl_divergence(posterior: Posterior) -> Tensor:
    """KL(q(z|x) || N(0, I)), (B,) in nats (Kingma and Welling 2014, appendix B)."""
    mean, std = posterior
    return 0.5 * (mean.square() + std.square() - 1 - 2 * std.log()).sum(1)


def satisfied(logit: Tensor) -> Tensor:
    """L_{c=1} = -log D for D = sigmoid(logit); same shape."""
    return F.softplus(-logit)


def not_satisfied(logit: Tensor) -> Tensor:
    """L_{c=0} = -log(1 - D) for D = sigmoid(logit); same shape."""
    return F.softplus(logit)


def attribute_loss(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy between D_attr's logits (B, A) and wanted probabilities (B, A), summed to (B,).

    Args:
        weight: (B, A) or (A,), how much each attribute counts; 1 when None.
    """
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss if weight is None else loss * weight).sum(1)


def distance(z_new: Tensor, z: Tensor, sigma_bar: Tensor) -> Tensor:
    """L_dist(z', z) = mean_i log(1 + (z'_i - z_i)^2) / sigma_bar_i^2 (equation 5).

    sigma_bar makes a step along a dimension that the encoder is sure of (small sigma) dear, and one along an unused
    dimension nearly free.

    Args:
        z_new, z: (B, latent).
        sigma_bar: (latent,), the encoder's std averaged over the training set.

    Returns:
        (B,), >= 0.
    """
    return (torch.log1p((z_new - z).square()) / sigma_bar.square()).mean(1)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """E (|grad critic(u)| - 1)^2 at u drawn uniformly between rows of `real` and `fake` (Gulrajani et al. 2017).

    Args:
        critic: (B, D) -> logits (B, 1).
        real, fake: (B, D).

    Returns:
        A scalar, differentiable with respect to the critic's weights.
    """
    mix = torch.rand(len(real), 1, generator=generator, device="cpu").to(real.device)
    between = (mix * real + (1 - mix) * fake).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.norm(dim=1) - 1).square().mean()
