"""One forward pass from a batch to a loss for each net that `train.critics` trains.

Each is a module of its own, so that the distributed wrapper sees a single call per update. Source: arXiv 1711.05772,
section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lc.actor import Actor
from lc.classifier import Classifier
from lc.critics import AttributeCritic, Critic
from lc.losses import attribute_loss, distance, gradient_penalty, not_satisfied, satisfied
from lc.vae import VAE
from train.latents import Goals

__all__ = ["ActorBatch", "ActorTask", "ActorWeights", "AttributeTask", "CriticTask", "Targets", "energy_distance"]


class CriticTask(nn.Module):
    """L_D: real with their labels or none against prior, actor's output and real with wrong labels."""

    def __init__(self, critic: Critic, penalty: float) -> None:
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
    """D_attr's loss: photos with their labels, decoded latents with what a guidance classifier reads in them."""

    def __init__(self, critic: AttributeCritic) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """z (B, latent), labels (B, 10) in [0, 1] -> the loss, a scalar."""
        return attribute_loss(self.critic(z).float(), labels).mean()


@dataclass
class Targets:
    """The nets in the actor's loss; frozen while it learns, so kept out of any module's parameters."""

    critic: Critic
    attribute_critic: AttributeCritic
    guidance: list[Classifier]
    vae: VAE
    sigma_bar: Tensor

    def choose(self) -> int:
        """One guidance classifier at random: an edit that fools one of several classifiers earns little."""
        return int(torch.randint(len(self.guidance), (1,)))

    def features(self, images: Tensor, classifier: int) -> Tensor:
        """Guidance features (B, D) of pictures (B, 3, S, S), shifted a little so that no single pixel decides."""
        down, right = torch.randint(-2, 3, (2,)).tolist()
        return self.guidance[classifier].features(torch.roll(images, (down, right), dims=(2, 3)))

    def read(self, images: Tensor, classifier: int) -> Tensor:
        """A guidance classifier's logits (B, 10) of pictures (B, 3, S, S)."""
        return self.guidance[classifier].head(self.features(images, classifier)).float()


@dataclass
class ActorBatch:
    """What the actor is asked for: rows of generated faces first, then edits.

    Attributes:
        z: (B, latent). goals: see `Goals`. identity: (B,).
        weight: (B,), lambda_dist of each row.
        push: (B,), how much the attributes to change count in each row.
        y: (B, 10), the label D is asked about; 0.5 throughout for "any".
        realism: (B,), weight of -log D of each row.
        pairs: rows i and i + pairs, for i < pairs, are generated faces for one label.
        classifier: which guidance classifier reads.
        unedited: (edits, 3, S, S), the faces that are edited.
        seen: (edits, 10) in [0, 1], what that one reads in the unedited faces, to be preserved.
        back: (edits, 10) in [0, 1], what undoes the edits: the target that would bring the unedited faces back.
        photos: (N, D), that one's features of photos drawn as the generated faces' labels are.
    """

    z: Tensor
    goals: Goals
    identity: Tensor
    weight: Tensor
    push: Tensor
    y: Tensor
    realism: Tensor
    pairs: int
    classifier: int
    unedited: Tensor
    seen: Tensor
    back: Tensor
    photos: Tensor


def energy_distance(a: Tensor, b: Tensor) -> Tensor:
    """2 E|a - b| - E|a - a'| - E|b - b'| between two samples, (N, D) and (M, D) (Szekely and Rizzo 2013): a scalar.

    Zero in expectation when both come from one distribution; its gradient is unbiased at any batch size.
    """

    def within(x: Tensor) -> Tensor:
        return torch.pdist(x).mean()

    return 2 * torch.cdist(a, b).mean() - within(a) - within(b)


@dataclass(frozen=True)
class ActorWeights:
    """What each part of the actor's loss counts; see `train.critics.CriticsTraining`."""

    attribute: float
    preservation: float
    smoothing: float
    cycle: float
    pixels: float
    diversity: float
    match: float


class ActorTask(nn.Module):
    """L_G over generated faces and edits."""

    def __init__(self, actor: Actor, targets: Targets, weights: ActorWeights) -> None:
        super().__init__()
        self.actor = actor
        self._targets = [targets]  # in a list, so that none of them becomes a part of this module
        self.weights = weights

    def forward(self, batch: ActorBatch) -> Tensor:
        """The loss (a scalar) and its detached parts, stacked."""
        targets, goals, weights = self._targets[0], batch.goals, self.weights
        moved = self.actor(batch.z, goals.target, goals.mask, batch.identity)
        real = satisfied(targets.critic(moved, batch.y).float())[:, 0]
        target = goals.target.clamp(weights.smoothing, 1 - weights.smoothing)
        counts = torch.where(goals.mask > 0.5, batch.push[:, None], weights.preservation)
        latent = attribute_loss(targets.attribute_critic(moved).float(), target, counts)
        images = targets.vae.decode(moved)
        features = targets.features(images, batch.classifier)
        # What is preserved stays at what this classifier read before the edit: two of them seldom agree to the decimal.
        samples = len(moved) - len(batch.seen)
        held = torch.where(goals.mask[samples:] > 0.5, target[samples:], batch.seen)
        pixel = attribute_loss(
            targets.guidance[batch.classifier].head(features).float(), torch.cat([target[:samples], held]), counts
        )
        far = distance(moved, batch.z, targets.sigma_bar)
        # An edit that can be undone has lost nothing of the person (CycleGAN, Zhu et al. 2017).
        returned = self.actor(moved[samples:], batch.back, goals.mask[samples:], batch.identity[samples:])
        lost = distance(returned, batch.z[samples:], targets.sigma_bar)
        # What need not change is left as it is, to the pixel: a smile is not another skin, nor another wall behind it.
        seen = (images[samples:] - batch.unedited).float().abs().mean((1, 2, 3))
        far[samples:] = far[samples:] + weights.cycle * lost + weights.pixels * seen
        total = batch.realism * real + weights.attribute * (latent + pixel) + batch.weight * far
        pairs = 2 * batch.pairs
        apart = energy_distance(features[:samples].float(), batch.photos)
        total = (
            total.mean() + weights.diversity * self._collapse(batch.z[:pairs], moved[:pairs]) + weights.match * apart
        )
        parts = torch.stack([real.mean(), latent.mean(), pixel.mean(), far.mean(), seen.mean(), apart])
        return torch.cat([total[None], parts.detach()])

    def _collapse(self, z: Tensor, moved: Tensor) -> Tensor:
        """How much nearer two faces of one label are than the latents they began as (after Mao et al. 2019).

        Encodings of photos are as far apart as draws from the prior, so the actor need not bring them together; one
        that learns a favourite face for every label does.
        """
        before, after = (torch.stack(self.actor.whiten(x).chunk(2)).diff(dim=0)[0].norm(dim=1) for x in (z, moved))
        return (1 - after / before).clamp_min(0).square().mean()
