"""From latents and what is wanted of them to moved latents: the actor's jump, the optimiser's walk.

Measured on held-out photos: beyond the actor's own proposal, along the same line, an edit is confirmed by an
independent classifier far more often than after as much gradient descent, which finds what only D_attr believes. So a
walk goes to the actor's most careful proposal (that which moves least) and past it, and descends from there for what
the actor leaves undone: a latent that D finds real, and attributes that it missed.

Latents do not tell all that an eye would see. So what is proposed is looked at: a step brings back what a pixel
classifier finds changed in the picture and nobody asked for, and shows what was asked for where that is faint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lc.attributes import ATTRIBUTES, Strength, apply_changes, canonical, partial, resolve
from lc.constraints import Attributes, Constraint, Distance, Realism
from lc.critics import folded
from lc.optimiser import Step, optimise
from lc.weights import Model

__all__ = ["LOOKS", "SHOWN", "Goal", "Moves"]

# A strength is looked for along the actor's line up to here, in so many steps; 1 is the proposal.
_FURTHEST, _PLACES = 1.5, 25
# How far descent may lead away from the line's end, in sigma_bar: as far as the line is long. It needs a tenth of that.
_RADIUS = 2.0
# What descent gives to holding an attribute against pushing one. The proposal holds already; with ten times as much
# descent wins back youth and hair by undoing a bald head.
_HOLD = 0.03
#: How often what the actor proposes is looked at: each look costs a picture and a backward pass.
LOOKS = 3
#: The logit that the guide is to read, at least, for an attribute that is pushed, where the calibration asks for no
#: other: another eye sees less than the guide does.
SHOWN = 3.5
# The most that is asked where several changes are made at once.
_SHOWN_TOGETHER = 5.0
# What a squared logit counts that was to be held, or was pushed and falls short, in squared sigma_bar; and what of that
# is left at each further look, which would else chase the guide's own errors.
_UNASKED, _UNDONE, _LESS = 20.0, 16.0, 0.7
# What was to be held counts less the surer the guide was of it, by a factor of e for so many logits, for more is needed
# to turn that over; and by this share where the guide only becomes surer.
_SURE, _SURER = 4.0, 0.5
# Squared length of a logit's slope, per squared sigma_bar: the average over logits and edits.
_SLOPE = 0.06


@dataclass(frozen=True)
class Goal:
    """What is wanted of latents.

    Attributes:
        z: (B, latent), where they are.
        before: (B, 10), the probabilities that D_attr reads there.
        target: (B, 10) in [0, 1], and mask: (B, 10) bool; see `lc.attributes.apply_changes`.
        held: (10,) bool, the attributes that the changes neither name nor imply.
        shown: (10,), the logit that each attribute that is pushed is brought to, at least.
        strengths: attributes wanted by a probability between 0 and 1.
        pushed: (B, 10) bool, those of `mask` that the actor's one pass pushes: not strengths, nor what only they imply.
        length: how much longer than others that move is, see `lc.identity`.
        several: whether more than one change is told.
        pictures: (B, 3, 64, 64) in [0, 1], decoded from z, where they are known already.
    """

    z: Tensor
    before: Tensor
    target: Tensor
    mask: Tensor
    held: Tensor
    shown: Tensor
    strengths: Mapping[str, float]
    pushed: Tensor
    length: float = 1.0
    several: bool = False
    pictures: Tensor | None = None


class Moves:
    """The two ways to move latents, with a model's nets made ready for speed.

    Args:
        model: see `lc.weights.load_model`.
        looks: see `LOOKS`; 0 jumps blindly.
    """

    def __init__(self, model: Model, looks: int = LOOKS) -> None:
        self.model, self.looks = model, looks
        self.sigma_bar = model.statistics.sigma_bar
        self.attribute_critic, self.critic = folded(model.attribute_critic), folded(model.critic)
        #: Root mean square distance of photos' encodings from their mean, in the space that the actor sees.
        self.shell = float((model.statistics.gain * model.statistics.std).norm())

    @torch.inference_mode(False)  # what is made in it cannot take part in gradients
    def goal(self, z: Tensor, changes: Mapping[str, Strength], pictures: Tensor | None = None) -> Goal:
        """What `changes` ask of latents (B, latent), see `Goal`; raises UnknownAttributeError."""
        with torch.inference_mode():
            before = torch.sigmoid(self.attribute_critic(z))
        target, mask = apply_changes(before, changes)
        held = ~_columns(resolve(changes), z.device)
        named, sure = canonical(changes), self.model.calibration.shown
        shown = [sure.get(f"{name}={int(named.get(name, False))}", SHOWN) for name in ATTRIBUTES]
        # What one change may ask for is too much where several add up.
        told = [other for other in named if not any(_implies(named, name, other) for name in named)]
        if several := len(told) > 1:
            shown = [min(logit, _SHOWN_TOGETHER) for logit in shown]
        # The lengths are those of one change at a time.
        only = f"{told[0]}={int(named[told[0]])}" if len(told) == 1 else ""
        outright = resolve({name: wanted for name, wanted in named.items() if isinstance(wanted, bool)})
        strengths = partial(changes)
        pictures = pictures.clone() if pictures is not None else None
        return Goal(
            z=z.clone(),
            before=before.clone(),
            target=target.clone(),
            mask=mask.clone(),
            held=held,
            shown=z.new_tensor(shown),
            strengths=strengths,
            pushed=mask & _columns(outright.keys() - strengths.keys(), z.device),
            length=self.model.calibration.lengths.get(only, 1.0),
            several=several,
            pictures=pictures,
        )

    def still(self, goal: Goal) -> Step:
        """Nothing is wanted: nothing moves."""
        rows = len(goal.z)
        return Step(0, goal.z, {}, torch.ones(rows, dtype=torch.bool), torch.zeros(rows, dtype=torch.long))

    @torch.inference_mode()
    def act(self, goal: Goal, identity: float) -> Step:
        """One jump, looked at; done where D_attr sees what was wanted."""
        z, pictures = self.jump(goal, self.model.calibration.for_actor(identity))
        _, met = Attributes(self.attribute_critic, goal.target, goal.mask, margin=0.0).judge(z)
        return Step(0, z, {}, met, torch.zeros(len(z), dtype=torch.long), pictures)

    def jump(self, goal: Goal, reach: float) -> tuple[Tensor, Tensor]:
        """`propose`, then `look`: (B, latent), and their pictures (B, 3, 64, 64)."""
        return self.look(goal, self.propose(goal, reach), self.looks)

    @torch.inference_mode()
    def make(self, z: Tensor, y: Tensor, identity: float = 0.0) -> Tensor:
        """Faces made up: z (B, latent) from the prior and wanted attributes y (B, 10) -> (B, latent).

        What lands further from the mean than photos do looks burnt and what stays nearer looks murky, so all is brought
        to `shell`. Of that, what the encoder sees in its picture is kept: from picture to latent and back is a step of
        the chain that leads to where photos lie (Bengio et al. 2013, generalised denoising autoencoders). The model
        card says what both cost and give.
        """
        moved: Tensor = self.model.actor(z, y, torch.ones_like(y), z.new_full((len(z),), identity))
        generator, shell = self.model.generator, z.new_full((len(z),), self.shell)
        seen = generator.encode(generator.decode(self._scaled(moved, shell / self._far(moved)))).mean
        return self._drawn_back(seen, shell)

    def _far(self, z: Tensor) -> Tensor:
        """(B,), how far latents are from the mean, in the space that the actor sees; never 0."""
        return self.model.actor.whiten(z).norm(dim=1).clamp_min(1e-6)

    def _scaled(self, z: Tensor, by: Tensor) -> Tensor:
        """Latents (B, latent), nearer to the mean or further from it by (B,)."""
        centre = self.model.statistics.mean
        return centre + by[:, None] * (z - centre)

    def _drawn_back(self, z: Tensor, furthest: Tensor) -> Tensor:
        """Latents (B, latent), none further from the mean than `furthest` (B,); truncation, Brock et al. 2019,
        section 3.1."""
        return self._scaled(z, (furthest / self._far(z)).clamp_max(1))

    def walk(self, goal: Goal, identity: float) -> Iterator[Step]:
        """Along the actor's line, then downhill until D_attr sees what was wanted and D a real latent."""
        constraints: dict[str, Constraint] = {
            "attributes": Attributes(self.attribute_critic, goal.target, goal.mask, hold=_HOLD),
            "realism": Realism(self.critic),
            "distance": Distance(goal.z, self.sigma_bar, weight=self.model.distance_weight(identity)),
        }
        with torch.inference_mode():
            proposal = self.propose(goal, self.model.calibration.for_optimiser(identity))
            proposal, _ = self.look(goal, proposal, LOOKS)
        yield from optimise(goal.z, constraints, self.sigma_bar, proposal=proposal.clone(), radius=_RADIUS)

    @torch.inference_mode(False)
    def look(self, goal: Goal, proposal: Tensor, looks: int) -> tuple[Tensor, Tensor]:
        """The proposal, (B, latent), moved to where its picture shows what was asked for and changes nothing else.

        Each look is a step that lessens |step|^2 in sigma_bar^2 plus the weighted squares of what is amiss in the
        guide's ten logits. Were those linear in z, with slopes J (10, latent), the least would be at -J^T v for the v
        that solves (J J^T + 1 / weight) v = amiss, which takes ten backward passes (Gauss and Newton). Here J J^T is
        taken for _SLOPE times the identity, and the step scaled to what is best along it, which |J^T v| tells: one
        pass. Looking twice so mends more than an exact step does. Where that ends further from the mean than `shell`
        and the photo, it is drawn back, see `make`.

        Args:
            looks: how often, and once more where there are several changes; 0 leaves the proposal as it is.

        Returns:
            (B, latent), and their pictures (B, 3, 64, 64) in [0, 1].
        """
        decode, guide = self.model.generator.decode, self.model.guide
        # Where everything was asked for there is nothing to take back, and pushing alone only exaggerates. A strength
        # is a place on the line.
        if guide is None or not looks or goal.strengths or not goal.held.any():
            with torch.no_grad():
                return proposal, decode(proposal)
        with torch.no_grad():
            seen = guide.beyond(decode(goal.z) if goal.pictures is None else goal.pictures)
            hold = _UNASKED * torch.exp(-seen.abs() / _SURE)
        z, sign = proposal.clone(), goal.target * 2 - 1
        for count in range(looks + goal.several):
            logits = guide.beyond(decode(z.requires_grad_()))
            now = logits.detach()
            change = now - seen
            amiss = torch.where(goal.mask, -sign * F.relu(goal.shown - sign * now), change * goal.held)  # (B, 10)
            unasked = hold * torch.where(seen * change > 0, _SURER, 1.0)
            weight = torch.where(goal.mask, _UNDONE, unasked) * _LESS**count
            v = weight * amiss / (1 + _SLOPE * weight)
            step = torch.autograd.grad((logits * v).sum(), z)[0] * self.sigma_bar
            norm = step.square().sum(1) + (v.square() / weight).sum(1)
            share = (v * amiss).sum(1) / norm.clamp_min(torch.finfo().tiny)
            z = z.detach() - share[:, None] * step * self.sigma_bar
        with torch.no_grad():
            z = self._drawn_back(z, self._far(goal.z).clamp_min(self.shell))
            return z, decode(z)

    def propose(self, goal: Goal, reach: float) -> Tensor:
        """Where the actor would go, told to keep the person, or a point on that line.

        Several changes are one move: made one after the other they add up to more than a face can bear.

        Args:
            reach: how far to follow its line, in the goal's length; 1 is its own proposal where that is 1.

        Returns:
            (B, latent).
        """
        z, careful = goal.z, torch.ones_like(goal.z[:, 0])
        if goal.pushed.any():
            y = torch.where(goal.pushed, goal.target, goal.before)
            z = z + reach * goal.length * (self.model.actor(z, y, goal.pushed, careful) - z)
        for name, probability in goal.strengths.items():
            z = self._to_strength(z, ATTRIBUTES.index(name), probability, careful)
        return z

    def _to_strength(self, z: Tensor, column: int, probability: float, careful: Tensor) -> Tensor:
        """Along the actor's line for one attribute, to where D_attr first reads `probability`."""
        wanted = torch.logit(torch.tensor(probability, device=z.device))
        here = self.attribute_critic(z)
        up, y = wanted > here[:, column], torch.sigmoid(here)
        only = torch.zeros_like(y).index_fill(1, torch.tensor([column], device=z.device), 1.0)
        line = self.model.actor(z, torch.where(only > 0, up[:, None].float(), y), only, careful) - z
        places = torch.linspace(0, _FURTHEST, _PLACES, device=z.device)
        read = torch.stack([self.attribute_critic(z + place * line)[:, column] for place in places])  # (P, B)
        # The highest (or lowest) so far: so the first place to reach a level is further the higher the level is.
        read = torch.where(up, read.cummax(0).values, read.cummin(0).values)
        short = (read - wanted).sign() != (up * 2.0 - 1)  # (P, B), True up to the crossing
        last = (short.sum(0) - 1).clamp(0, _PLACES - 2)
        low, high = (read.gather(0, index[None])[0] for index in (last, last + 1))
        share = ((wanted - low) / (high - low)).abs().nan_to_num(0.0, 1.0).clamp_max(1)
        return z + (places[1] * (last + share))[:, None] * line


def _implies(changes: Mapping[str, Strength], name: str, other: str) -> bool:
    """Whether one of the changes, under CelebA's own names, asks for another by itself, as blond for "not brown"."""
    return name != other and resolve({name: changes[name]}).get(other) == changes[other]


def _columns(names: Iterable[str], device: torch.device) -> Tensor:
    """(10,) bool, True at the attributes of these names."""
    among = set(names)
    return torch.tensor([name in among for name in ATTRIBUTES], device=device)
