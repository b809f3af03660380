"""One forward pass from a batch to a loss for each net that `train.critics` trains.

Each is a module of its own, so that the distributed wrapper sees a single call per update. Source: arXiv 1711.05772,
section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lc.critics import AttributeCritic, Critic
from lc.generator import VAE
from lc.losses import attribute_loss, distance, gradient_penalty, not_satisfied, satisfied
from train.classifier import Classifier
from train.latents import Goals

__all__ = ["ActorTask", "AttributeTask", "CriticTask", "Judges"]


class CriticTask(nn.Module):
    """L_D: real with their labels or none against prior, actor's output and real with wrong labels."""

    def __init__(self, critic: Any, penalty: float) -> None:
        super().__init__()
        self.critic, self.penalty = critic, penalty

    def forward(self, real: Tensor, y: Tensor, fake: Tensor, y_fake: Tensor, wrong: Tensor, y_wrong: Tensor) -> Tensor:
        """Latents (., latent) and labels (., 10) -> the loss, a scalar."""
        logits = self.critic(torch.cat([real, fake, wrong]), torch.cat([y, y_fake, y_wrong])).float()
        good, bad = logits[: len(real)], logits[len(real) :]
        count = min(len(real), len(fake))
        # Penalised in the whitened space that the net sees: raw z has dimensions of noise.
        whiten, label = self.critic.whiten, self.critic.label(y_fake[:count] * 2 - 1)
        penalty = gradient_penalty(
            lambda u: self.critic.body(torch.cat([u, label], dim=1)), whiten(real[:count]), whiten(fake[:count])
        )
        return satisfied(good).mean() + not_satisfied(bad).mean() + self.penalty * penalty


class AttributeTask(nn.Module):
    """D_attr's loss: photos with their labels, decoded latents with what the guide reads in them."""

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """z (B, latent), labels (B, 10) in [0, 1] -> the loss, a scalar."""
        return attribute_loss(self.critic(z).float(), labels).mean()


@dataclass
class Judges:
    """What the actor is judged by; frozen while it learns, so kept out of any module's parameters."""

    critic: Critic
    attribute_critic: AttributeCritic
    guide: Classifier
    vae: VAE
    sigma_bar: Tensor

    def read(self, z: Tensor) -> Tensor:
        """The guide's logits (B, 10) of the decoded latents, shifted a little so that no single pixel decides."""
        images = self.vae.decode(z)
        down, right = torch.randint(-2, 3, (2,)).tolist()
        return self.guide(torch.roll(images, (down, right), dims=(2, 3))).float()


class ActorTask(nn.Module):
    """L_G over made-up faces (rows without an origin's distance weight of their own) and edits."""

    def __init__(
        self, actor: nn.Module, judges: Judges, *, attribute: float, hold: float, smoothing: float, diversity: float
    ) -> None:
        super().__init__()
        self.actor: nn.Module = actor
        self._judges = [judges]  # in a list, so that no judge becomes a part of this module
        self.attribute, self.hold, self.smoothing, self.diversity = attribute, hold, smoothing, diversity

    def forward(
        self, z: Tensor, goals: Goals, identity: Tensor, weight: Tensor, y: Tensor, realism: Tensor, pairs: int
    ) -> Tensor:
        """
        Args:
            z: (B, latent). goals: see `Goals`. identity: (B,).
            weight: (B,), lambda_dist of each row.
            y: (B, 10), the label D is asked about; 0.5 throughout for "any".
            realism: (B,), weight of -log D of each row.
            pairs: rows i and i + pairs, for i < pairs, are made-up faces for one label.

        Returns:
            The loss (a scalar) and its detached parts, stacked.
        """
        judges = self._judges[0]
        moved = self.actor(z, goals.target, goals.mask, identity)
        real = satisfied(judges.critic(moved, y).float())[:, 0]
        target = goals.target.clamp(self.smoothing, 1 - self.smoothing)
        weights = torch.where(goals.mask > 0.5, 1.0, self.hold)
        latent = attribute_loss(judges.attribute_critic(moved).float(), target, weights)
        pixel = attribute_loss(judges.read(moved), target, weights)
        far = distance(moved, z, judges.sigma_bar)
        total = realism * real + self.attribute * (latent + pixel) + weight * far
        total = total.mean() + self.diversity * self._collapse(z[: 2 * pairs], moved[: 2 * pairs])
        parts = torch.stack([real.mean(), latent.mean(), pixel.mean(), far.mean()])
        return torch.cat([total[None], parts.detach()])

    def _collapse(self, z: Tensor, moved: Tensor) -> Tensor:
        """How much nearer two faces of one label are than the latents they began as (after Mao et al. 2019).

        Encodings of photos are as far apart as draws from the prior, so the actor need not bring them together; one
        that learns a favourite face for every label does.
        """
        before, after = (torch.stack(self.actor.whiten(x).chunk(2)).diff(dim=0)[0].norm(dim=1) for x in (z, moved))
        return (1 - after / before).clamp_min(0).square().mean()
