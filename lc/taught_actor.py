"""Train the actor of a taught attribute, in a minute or two: an edit of it in one pass, as the model's own have.

Source: arXiv 1711.05772, section 4. The actor learns on faces in general, drawn from their posteriors, of which the
weights have a sample; its loss is the taught critic's, that of attributes to preserve, of realism and of distance. What
differs from the paper, and why:
- The critic of a few photos is linear, and an edit moves far along its direction (see `lc.few_shot`): shorter ways to
  please it are invisible. So the actor begins as that straight line, and distance is measured from where that ends.
- Attributes to preserve are read in the decoded picture by the guidance classifier, as when an edit is corrected
  (`lc.edit.correct`), and count what they count there: the actor learns to need less of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lc.actor import TaughtActor
from lc.edit.space import LatentSpace
from lc.errors import OtherGeneratorError
from lc.few_shot import contrast_of
from lc.losses import satisfied
from lc.taught import TaughtAttribute, generator_digest
from lc.teach import Cancelled

__all__ = ["STEPS", "Step", "train_actor", "training"]

STEPS = 120
_ROWS = 16  # of a step
_FACES = 480  # that it learns on
_WIDTH = 128
_RATE, _WARMUP = 3e-3, 10  # Adam's step at its largest, after so many steps
_MORE = 0.15  # of the faces are asked for more of what they show already
_PRESERVE = 10.0  # times what an unasked change counts in a correction: here it is one step of few
_REACH = 1.0  # weight of the way along the line that is lost
_REALISM = 5.0  # weight of -log D


class Step(NamedTuple):
    """How far a training is: `done` steps of `total`; after the last, the attribute with its actor."""

    done: int
    total: int
    taught: TaughtAttribute | None = None


def train_actor(
    space: LatentSpace,
    taught: TaughtAttribute,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> TaughtAttribute:
    """`training` as one call; see `lc.editor.FaceEditor.train_actor`."""
    for step in training(space, taught):
        if progress is not None:
            progress(step.done, step.total)
        if step.taught is not None:
            return step.taught
        if stop is not None and stop():
            break
    raise Cancelled("Training the actor was cancelled; the attribute stays as it was.")


@torch.inference_mode(False)
@torch.enable_grad()
def training(space: LatentSpace, taught: TaughtAttribute) -> Iterator[Step]:
    """Train the actor of an attribute; stop iterating to cancel. Draws the same numbers every time.

    Args:
        space: of the model.
        taught: an actor that it has makes room.

    Yields:
        The start, then the state after each step.

    Raises:
        OtherGeneratorError: it was taught to another generator.
    """
    if taught.generator != generator_digest(space.model):
        raise OtherGeneratorError(
            f"{taught.name} was taught to another generator than that of these weights: teach it again."
        )
    chance = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):  # the global state is everybody's
        torch.manual_seed(0)
        actor = TaughtActor(space.model.statistics, _WIDTH)
    faces, optimiser = _Faces(space, chance), torch.optim.Adam(actor.parameters(), _RATE, betas=(0.9, 0.99))
    yield Step(0, STEPS)
    for done in range(1, STEPS + 1):
        rate = _RATE * min(1.0, done / _WARMUP) * (1 - (done - 1) / STEPS)
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        _loss(space, taught, actor, *faces.draw()).backward()
        optimiser.step()
        if done < STEPS:
            yield Step(done, STEPS)
    yield Step(STEPS, STEPS, replace(taught, actor=actor.eval().requires_grad_(False)))


class _Faces:
    """Faces in general to learn on, each read once.

    Args:
        space: of the model.
        chance: source of draws.
    """

    def __init__(self, space: LatentSpace, chance: torch.Generator) -> None:
        contrast = contrast_of(space)
        rows = torch.randperm(len(contrast), generator=chance)[:_FACES].to(contrast.device)
        noise = torch.randn(len(rows), contrast.shape[1], generator=chance)
        self.z = contrast[rows] + space.sigma_bar * noise.to(contrast.device)
        self._space, self._chance, self._left = space, chance, torch.empty(0, dtype=torch.long)
        self._seen: dict[int, Tensor] = {}

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (R, latent); what is read in their pictures (R, A); which are asked for more of the same, (R,)."""
        if len(self._left) < _ROWS:
            self._left = torch.cat([self._left, torch.randperm(len(self.z), generator=self._chance)])
        rows, self._left = self._left[:_ROWS], self._left[_ROWS:]
        new = [row for row in dict.fromkeys(rows.tolist()) if row not in self._seen]
        if new:
            with torch.no_grad():
                self._seen |= dict(zip(new, _read(self._space, self.z[new]), strict=True))
        more = torch.rand(len(rows), generator=self._chance) < _MORE
        return self.z[rows], torch.stack([self._seen[row] for row in rows.tolist()]), more.to(self.z.device)


def _read(space: LatentSpace, z: Tensor) -> Tensor:
    """Logits of the model's own attributes at latents (B, latent), (B, A): by the guidance classifier, else D_attr."""
    guidance = space.model.guidance
    return space.attribute_critic(z) if guidance is None else guidance.beyond(space.model.generator.decode(z))


def _loss(
    space: LatentSpace, taught: TaughtAttribute, actor: TaughtActor, z: Tensor, seen: Tensor, more: Tensor
) -> Tensor:
    """The mean over rows; see `_Faces.draw`. Its unit is sigma_bar squared, summed over dimensions."""
    tuning, logit = space.tuning, taught.critic(z)[:, 0]
    up = torch.where((logit < 0) ^ more, 1.0, -1.0)
    slope = taught.weight @ taught.direction
    end = z + (up * (taught.target - up * logit).clamp_min(0) / slope)[:, None] * taught.direction
    moved = actor(z, end, up)
    change = _read(space, moved) - seen
    unasked = tuning.unasked_weight * torch.exp(-seen.abs() / tuning.sure_logits)
    unasked = unasked * torch.where(seen * change.detach() > 0, tuning.surer_share, 1.0)
    kept = (unasked * change.square()).sum(1)
    far = ((moved - end) / space.sigma_bar).square().sum(1)
    lost = F.relu(up * (taught.critic(end) - taught.critic(moved))[:, 0]) / slope  # of the direction's lengths
    reach = lost.square() * (taught.direction / space.sigma_bar).square().sum()
    real = satisfied(space.critic(moved))[:, 0]
    return (far + _PRESERVE * kept + _REACH * reach + _REALISM * real).mean()
