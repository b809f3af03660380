"""Batches for `train.critics`: what each net is shown, and which changes are asked for more often because they fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lc.actor import Actor
from train.attributes import ATTRIBUTES
from train.latents import DIRECTIONS, Goals, Latents, toggle_goals
from train.tasks import ActorBatch, Targets

if TYPE_CHECKING:
    from train.critics import CriticsTraining

__all__ = ["LINE", "Draw"]

#: Parts of an edit's way, 1 the actor's proposal, at which D_attr learns what is read.
LINE = (0.3, 1.6)


@dataclass
class Draw:
    """Draws batches. All chance comes from torch's global source, which every step seeds anew."""

    config: CriticsTraining
    latents: Latents
    targets: Targets
    device: torch.device
    failing: Tensor = field(default_factory=lambda: torch.full((len(DIRECTIONS),), 0.5))
    """(20,) how often each direction's edits failed of late, as guidance reads them: those are drawn more often."""

    def __post_init__(self) -> None:
        # The guidance classifiers' features of the photos, once.
        photos = self.latents.mean[: len(self.latents.labels), 0]
        with torch.no_grad():
            classifiers = range(len(self.targets.guidance))
            found = [
                [self.targets.features(images, classifier).float() for classifier in classifiers]
                for images in (self.targets.vae.decode(z.to(self.device)) for z in photos.split(256))
            ]
        self.photo_features = [torch.cat(parts) for parts in zip(*found, strict=True)]

    @property
    def part(self) -> int:
        return self.config.batch // 3

    def labels(self, count: int) -> Tensor:
        """Label vectors of photos drawn with the rare attributes more often, (count, 10)."""
        return self.latents.labels[self.latents.rare_rows(count)].to(self.device)

    def prior(self, count: int) -> Tensor:
        return torch.randn(count, self.latents.mean.shape[2], device=self.device)

    def photos(self, rows: Tensor) -> Tensor:
        """Encodings of photos: a draw from q(z|x) or, as often, its mean, which is what the app edits."""
        noise = (torch.rand(len(rows), 1) < 0.5).float()
        return self.latents.draw(rows, noise).to(self.device)

    def toggles(self, count: int) -> tuple[Tensor, Goals, Tensor, Tensor, Tensor]:
        """Photos to edit, goals, places of the identity slider, directions, and the targets that undo the edits.

        One toggle each or now and then none.
        """
        directions = torch.multinomial(0.15 + self.failing, count, replacement=True)
        z = self.photos(self.latents.without(directions))
        directions = torch.where(torch.rand(count) < 0.06, -1, directions)
        with torch.no_grad():
            before = torch.sigmoid(self.targets.attribute_critic.eval()(z)).float().cpu()
        goals = toggle_goals(before, directions)
        goals = Goals(goals.target.to(self.device), goals.mask.to(self.device))
        back = before.to(self.device)
        back = torch.where(goals.mask > 0.5, back.round(), back)
        return z, goals, torch.rand(count).to(self.device), directions, back

    def moved(self, actor: Actor, samples: int, edits: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The actor's outputs from the prior and from photos, the labels D is asked about, the edits' directions, and
        the latents that were edited."""
        y = self.labels(samples)
        ones, zeros = torch.ones_like(y), torch.zeros(samples, device=self.device)
        made = actor(self.prior(samples), y, ones, zeros)
        z, goals, identity, directions, _ = self.toggles(edits)
        edited = actor(z, goals.target, goals.mask, identity)
        return torch.cat([made, edited]).float(), torch.cat([y, torch.full_like(goals.target, 0.5)]), directions, z

    def for_critic(self, actor: Actor) -> tuple[Tensor, ...]:
        """real, y, fake, y_fake, wrong, y_wrong: see CriticTask."""
        # Drawn as the actor's labels are: else D would learn that a rare label is a fake one.
        labelled = self.latents.rare_rows(2 * self.part)
        anyone = torch.randint(len(self.latents.mean), (self.part,))
        unknown = torch.full((self.part, self.latents.labels.shape[1]), 0.5)
        y_labelled = self.latents.labels[labelled]
        # With the unlabelled third, half of all rows come without a label.
        y_labelled = torch.where(torch.rand(len(labelled), 1) < 0.25, 0.5, y_labelled)
        real = self.photos(torch.cat([labelled, anyone]))
        y = torch.cat([y_labelled, unknown]).to(self.device)
        fake, y_fake, *_ = self.moved(actor.eval(), 2 * self.part, self.part)
        tenth = max(1, len(fake) // 10)
        fake[:tenth] = self.prior(tenth)
        wrong = self.photos(torch.randint(len(self.latents.labels), (self.part // 2,)))
        y_wrong = self.labels(len(wrong))  # of other photos: nearly always wrong
        return real, y, fake, y_fake, wrong, y_wrong

    def for_attributes(self, actor: Actor) -> tuple[Tensor, Tensor]:
        """Latents and their labels: photos', and guidance's reading of what the actor makes of prior and photos."""
        rows = self.latents.rare_rows(2 * self.part)
        samples = self.part // 2
        edits = self.part - samples
        moved, _, directions, start = self.moved(actor.eval(), samples, edits)
        part = torch.empty(edits, 1, device=self.device).uniform_(*LINE)
        moved = torch.cat([moved, start + part * (moved[samples:] - start)])
        read = torch.sigmoid(self.targets.read(self.targets.vae.decode(moved), self.targets.choose()))
        self.learn_failing(directions, read[samples : samples + edits].cpu())
        smooth = self.latents.labels[rows].to(self.device) * 0.96 + 0.02
        return torch.cat([self.photos(rows), moved]), torch.cat([smooth, read])

    def learn_failing(self, directions: Tensor, read: Tensor) -> None:
        """Update `failing` from edits in these directions (B,), -1 for none, and what was read in them (B, 10)."""
        for direction, row in zip(directions.tolist(), read, strict=True):
            if direction >= 0:
                name, wanted = DIRECTIONS[direction]
                failed = float((row[ATTRIBUTES.index(name)] >= 0.5) != wanted)
                self.failing[direction] += 0.02 * (failed - self.failing[direction])

    def failing_of(self, directions: Tensor) -> Tensor:
        """How often edits in these directions (B,) fail, (B,); -1 is never a failure."""
        return torch.where(directions < 0, 0.0, self.failing[directions.clamp_min(0)]).to(self.device)

    def for_actor(self) -> ActorBatch:
        """A third of generated faces, two for a label, the rest edits."""
        config, pairs = self.config, self.part // 2
        samples = 2 * pairs
        rows = self.latents.rare_rows(pairs)
        y = self.latents.labels[rows].to(self.device).repeat(2, 1)
        z, goals, identity, directions, back = self.toggles(config.batch - samples)
        low, high = config.lambda_dist
        ones, zeros = torch.ones_like(y), torch.zeros(samples, device=self.device)
        classifier, unedited = self.targets.choose(), self.targets.vae.decode(z)
        return ActorBatch(
            z=torch.cat([self.prior(samples), z]),
            goals=Goals(torch.cat([y, goals.target]), torch.cat([ones, goals.mask])),
            identity=torch.cat([zeros, identity]),
            weight=torch.cat([zeros + config.lambda_sample, low * (high / low) ** identity]),
            push=torch.cat([zeros + 1, 1 + config.failing * self.failing_of(directions)]),
            y=torch.cat([y, torch.full_like(goals.target, 0.5)]),
            realism=torch.cat([zeros + config.realism, torch.full_like(identity, config.realism_edit)]),
            pairs=pairs,
            classifier=classifier,
            unedited=unedited,
            seen=torch.sigmoid(self.targets.read(unedited, classifier)),
            back=back,
            photos=self.photo_features[classifier][self.latents.rare_rows(4 * samples).to(self.device)],
        )
