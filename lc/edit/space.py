"""A model's latent space, made ready for edits: folded nets, its unit of length, its typical radius."""

from __future__ import annotations

import torch
from torch import Tensor

from lc.critics import folded
from lc.model import Model

__all__ = ["LatentSpace"]


class LatentSpace:
    """What actor, optimiser and correction need of a model.

    Args:
        model: see `lc.weights.load_model`.

    Attributes:
        attributes: which there are, in the order of the critic's logits.
        sigma_bar: (latent,), the unit of length.
        attribute_critic: z (B, latent) -> logits (B, A); the critic that `lc.constraints.Attribute` is to ask for the
            actor to serve it.
        critic: z (B, latent) -> logits (B, 1), how realistic.
        typical_radius: root mean square distance of photos' encodings from their mean, in the space that the actor
            sees.
    """

    def __init__(self, model: Model) -> None:
        self.model, self.tuning, self.attributes = model, model.tuning, model.attributes
        self.sigma_bar = model.statistics.sigma_bar
        self.attribute_critic, self.critic = folded(model.attribute_critic), folded(model.critic)
        self.typical_radius = float((model.statistics.gain * model.statistics.std).norm())

    @torch.inference_mode()
    def probabilities(self, z: Tensor) -> list[dict[str, float]]:
        """What D_attr reads at latents (B, latent), by attribute name, each in [0, 1]."""
        return [self.attributes.named(row) for row in torch.sigmoid(self.attribute_critic(z)).tolist()]

    def radius(self, z: Tensor) -> Tensor:
        """(B,), how far latents are from the mean, in the space that the actor sees; never 0."""
        return self.model.actor.whiten(z).norm(dim=1).clamp_min(1e-6)

    def scaled(self, z: Tensor, by: Tensor) -> Tensor:
        """Latents (B, latent), nearer to the mean or further from it by (B,)."""
        centre = self.model.statistics.mean
        return centre + by[:, None] * (z - centre)

    def truncated(self, z: Tensor, furthest: Tensor) -> Tensor:
        """Latents (B, latent), none further from the mean than `furthest` (B,); truncation, Brock et al. 2019,
        section 3.1."""
        return self.scaled(z, (furthest / self.radius(z)).clamp_max(1))
