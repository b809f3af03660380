"""What latents have to satisfy: one class per kind of constraint, and AND, OR and NOT of them.

A constraint is evaluated at a `Point`, latents z (B, latent), once for all that is asked of it: its energy (B,), which
is minus the logarithm of how far it holds, and per row whether it is met, well enough to stop, or refuted, so that its
negation is. Energies are >= 0. Under exp(-energy) AND is a product, OR a mean (log-sum-exp) and NOT the complement;
met and refuted follow Kleene's three-valued logic, where between the two neither holds.

    >>> z = torch.tensor([[3.0], [-3.0], [0.5]])
    >>> smiling, bald = Attribute(lambda z: z, 0), Taught(lambda z: 2 - z)
    >>> evaluate(smiling, z).met.tolist(), evaluate(Not(smiling), z).met.tolist()
    ([True, False, False], [False, True, False])
    >>> evaluate(And((smiling, Not(bald))), z).met.tolist(), evaluate(Or((smiling, bald)), z).met.tolist()
    ([False, False, False], [True, True, True])

Source: arXiv 1711.05772, sections 2 to 4; the stop rule is that of its published notebook; sums and log-sum-exp of
energies: Du, Li and Mordatch 2020 (Compositional visual generation with energy based models).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lc.evaluation import Constraint, Evaluation, Net, Point, evaluate, for_rows, total
from lc.losses import attribute_loss, distance, satisfied

__all__ = [
    "And",
    "Attribute",
    "Attributes",
    "Constraint",
    "Distance",
    "Evaluation",
    "Not",
    "Or",
    "Point",
    "Realism",
    "Rule",
    "Taught",
    "evaluate",
    "for_rows",
    "total",
]

# Parts of a first move at which what a critic stands in for is measured.
_PLACES = (0.125, 0.25, 0.375, 0.5, 0.75, 1.0)


def _of_logit(logit: Tensor, margin: float) -> Evaluation:
    """Something is wanted that a logit (B,) says; `margin` logits beyond the boundary settle it either way."""
    read = logit.detach()
    return Evaluation(satisfied(logit), read > margin, read < -margin)


# --- attributes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attribute:
    """One column of a critic's logits says what is wanted.

    Attributes:
        critic: z (B, latent) -> logits (B, A).
        column: of the logits.
        wanted: 1 it holds, 0 it does not, between them: with that probability.
        margin: how many logits beyond the boundary 0 or 1 must be to be met.
        tolerance: a probability between is met within this.
    """

    critic: Net
    column: int
    wanted: float = 1.0
    weight: float = 1.0
    margin: float = 1.0
    tolerance: float = 0.05

    def evaluate(self, at: Point) -> Evaluation:
        logit = at.run(self.critic)[:, self.column, None]
        if self.wanted in (0, 1):  # exact to the last digit, which a negation needs
            return _of_logit(logit[:, 0] if self.wanted else -logit[:, 0], self.margin)
        target = torch.full_like(logit, self.wanted)
        met, refuted = _met_and_refuted(logit.detach(), target, self.margin, self.tolerance)
        return Evaluation(attribute_loss(logit, target), met[:, 0], refuted[:, 0])

    def rows(self, index: Tensor) -> Attribute:
        return self


@dataclass(frozen=True)
class Attributes:
    """AND of an `Attribute` per column of one critic, each row with its own targets, in one operation for all columns.

    Its energy is the weighted sum. Columns that are not `edited` weigh what they weigh, but stop nothing.

    Attributes:
        critic: z (B, latent) -> logits (B, A).
        wanted: (B, A) in [0, 1], as `Attribute.wanted`.
        edited: (B, A) bool, True at the columns that have to be met.
        weights: (B, A), of each column's energy.
        margin, tolerance: see `Attribute`; a number, or (A,).
    """

    critic: Net
    wanted: Tensor
    edited: Tensor
    weights: Tensor
    margin: float | Tensor = 1.0
    tolerance: float | Tensor = 0.05
    weight: float = 1.0

    def evaluate(self, at: Point) -> Evaluation:
        logits = at.run(self.critic)
        energy = attribute_loss(logits, self.wanted, self.weights)
        met, refuted = _met_and_refuted(logits.detach(), self.wanted, self.margin, self.tolerance)
        return Evaluation(energy, (met | ~self.edited).all(1), (refuted & self.edited).any(1))

    def rows(self, index: Tensor) -> Attributes:
        return replace(self, wanted=self.wanted[index], edited=self.edited[index], weights=self.weights[index])


def _met_and_refuted(
    logits: Tensor, wanted: Tensor, margin: float | Tensor, tolerance: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Which wanted probabilities (B, A) are met, and which refuted, by logits (B, A): (B, A) of bool each."""
    whole = (wanted == 0) | (wanted == 1)
    towards = logits * (wanted * 2 - 1)
    near = (torch.sigmoid(logits) - wanted).abs() < tolerance
    return torch.where(whole, towards > margin, near), torch.where(whole, towards < -margin, ~near)


# --- other kinds ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Realism:
    """z lies where encodings of real photos lie: -log D(z), without labels, which would veto rare combinations.

    Attributes:
        critic: z (B, latent) -> logits (B, 1).
        level: D above this is real enough (the notebook's).
    """

    critic: Net
    weight: float = 0.3
    level: float = 0.3

    def evaluate(self, at: Point) -> Evaluation:
        logits = at.run(self.critic)[:, 0]
        met = torch.sigmoid(logits.detach()) > self.level
        return Evaluation(satisfied(logits), met, ~met)

    def rows(self, index: Tensor) -> Realism:
        return self


@dataclass(frozen=True)
class Distance:
    """z stays near the z it came from: L_dist of `lc.losses.distance`.

    Attributes:
        origin: (B, latent).
        sigma_bar: (latent,), the unit of distance.
        limit: the energy up to which it is met; without one it always is, and is never a reason to go on.
    """

    origin: Tensor
    sigma_bar: Tensor
    weight: float = 0.1
    limit: float = torch.inf

    def evaluate(self, at: Point) -> Evaluation:
        energy = distance(at.z, self.origin, self.sigma_bar)
        met = energy.detach() <= self.limit
        return Evaluation(energy, met, ~met)

    def rows(self, index: Tensor) -> Distance:
        return replace(self, origin=self.origin[index])


@dataclass(frozen=True)
class Taught:
    """A critic that was fitted later says what is wanted.

    Attributes:
        critic: z (B, latent) -> logits (B, 1) or (B,), a module.
        threshold: the logit from which on it says yes; a number, or (B,).
        margin: how many logits beyond the threshold settle it.
        wanted, tolerance: see `Attribute`.
        direction: (latent,), where an edit moves first; None leaves everything to descent.
        target: how many logits beyond the threshold that first move leads; > 0.
        actor: what the first move becomes where one was trained, see `lc.actor.TaughtActor`: z (B, latent), where the
            direction leads (B, latent), and 1 or -1, whether it is to come or to go, (B,) -> (B, latent).
        name: what messages call it.
        acts_on: the parts of a face that it is of; empty: all of the person.
        measured: z (B, latent) -> (B,), what the critic stands in for: met where that is at least `level`, whatever the
            critic says, which is only followed. The first move ends at the first of a few places where it is.
        level: in the unit of `measured`; a number, or (B,).
    """

    critic: Net
    threshold: float | Tensor = 0.0
    weight: float = 1.0
    margin: float = 1.0
    wanted: float = 1.0
    tolerance: float = 0.05
    direction: Tensor | None = None
    target: float = 1.0
    actor: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    name: str = ""
    acts_on: tuple[str, ...] = ()
    measured: Net | None = None
    level: float | Tensor = 0.0

    def evaluate(self, at: Point) -> Evaluation:
        logit = at.run(self.critic).flatten() - self.threshold
        if self.measured is not None:
            met = self._holds(at)
            return Evaluation(satisfied(logit * self._sign), met, ~met)
        if self.wanted in (0, 1):
            return _of_logit(logit * self._sign, self.margin)
        target = torch.full_like(logit, self.wanted)
        met, refuted = _met_and_refuted(logit.detach(), target, self.margin, self.tolerance)
        return Evaluation(attribute_loss(logit[:, None], target[:, None]), met, refuted)

    def propose(self, z: Tensor, scale: float = 1.0) -> Tensor:
        """By the actor, or along the direction, to where a critic that is linear reads what is wanted, or a part
        `scale` of that way.

        (B, latent) -> (B, latent). Rows that are as wanted stay.
        """
        if self.direction is None:
            return z
        logit = self.critic(z).flatten() - self.threshold
        slope = self.critic(z + self.direction).flatten() - self.threshold - logit
        if self.wanted in (0, 1):
            step = self._sign * (self.target - self._sign * logit).clamp_min(0)
        else:
            step = torch.logit(torch.full_like(logit, self.wanted)) - logit
        if self.actor is None:
            move = scale * (step / slope)[:, None] * self.direction
        else:
            move = scale * self._by_actor(z, logit, slope, step)
        if self.measured is None:
            return z + move
        shares, open_ = z.new_zeros(len(z)), torch.ones(len(z), dtype=torch.bool, device=z.device)
        for share in _PLACES:
            open_ &= ~self._holds(Point(z + shares[:, None] * move))
            shares[open_] = share
        return z + shares[:, None] * move

    def _by_actor(self, z: Tensor, logit: Tensor, slope: Tensor, step: Tensor) -> Tensor:
        """The actor's move of z, (B, latent), or as much of it as takes the critic's logit (B,) a `step` (B,) further.

        `slope` (B,) is how much further a direction's length takes it.
        """
        assert self.actor is not None
        assert self.direction is not None
        up = torch.where(step < 0, -1.0, 1.0)
        left = (self.target - up * logit).clamp_min(0)  # logits to where the direction ends
        move = self.actor(z, z + (up * left / slope)[:, None] * self.direction, up) - z
        if self.wanted in (0, 1):
            return (left > 0)[:, None] * move
        gained = up * (self.critic(z + move).flatten() - self.threshold - logit)
        return (up * step / gained.clamp_min(0.1 * left)).nan_to_num()[:, None] * move

    @property
    def _sign(self) -> float:
        return self.wanted * 2 - 1

    @torch.no_grad()
    def _holds(self, at: Point) -> Tensor:
        assert self.measured is not None
        holds = at.run(self.measured) >= self.level
        return holds if self.wanted >= 0.5 else ~holds

    def rows(self, index: Tensor) -> Taught:
        limits = self.threshold, self.level
        threshold, level = (value[index] if isinstance(value, Tensor) else value for value in limits)
        return replace(self, threshold=threshold, level=level)


@dataclass(frozen=True)
class Rule:
    """A function of the decoded picture is to be at least `level`.

        >>> def brightness(pictures: Tensor) -> Tensor:
        ...     return pictures.mean((1, 2, 3))
        >>> rule = Rule(lambda z: z.sigmoid()[:, :, None, None], brightness, level=0.6, scale=0.05)
        >>> evaluate(rule, torch.tensor([[1.0], [-1.0]])).met.tolist()
        [True, False]

    Attributes:
        decode: z (B, latent) -> pictures (B, 3, S, S) in [0, 1], differentiable.
        function: pictures -> (B,). One that is not differentiable can be evaluated but not descended: fit a critic to
            it, and use `Taught`.
        level: in the function's unit, a number or (B,); met from there on. For "at most", negate the function, or use
            `Not`.
        scale: in the same unit, how much of it counts as a logit; > 0.
        margin: how many of these logits beyond the level settle it.
        acts_on: see `Taught`.
    """

    decode: Net
    function: Callable[[Tensor], Tensor]
    level: float | Tensor
    scale: float
    weight: float = 1.0
    margin: float = 0.0
    acts_on: tuple[str, ...] = ()

    def evaluate(self, at: Point) -> Evaluation:
        return _of_logit((self.function(at.run(self.decode)) - self.level) / self.scale, self.margin)

    def rows(self, index: Tensor) -> Rule:
        return replace(self, level=self.level[index]) if isinstance(self.level, Tensor) else self


# --- algebra -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class And:
    """All of the parts: the weighted sum of their energies."""

    parts: tuple[Constraint, ...]
    weight: float = 1.0

    def evaluate(self, at: Point) -> Evaluation:
        found = [part.evaluate(at) for part in self.parts]
        energies = [part.weight * one.energy for part, one in zip(self.parts, found, strict=True)]
        met, refuted = torch.stack([one.met for one in found]), torch.stack([one.refuted for one in found])
        return Evaluation(torch.stack(energies).sum(0), met.all(0), refuted.any(0))

    def rows(self, index: Tensor) -> And:
        return replace(self, parts=tuple(part.rows(index) for part in self.parts))


@dataclass(frozen=True)
class Or:
    """One of the parts, or several: -log of the mean of exp(-energy), with the parts' weights as shares.

    Descent goes to the part that is nearest. Weights must not all be 0.
    """

    parts: tuple[Constraint, ...]
    weight: float = 1.0

    def evaluate(self, at: Point) -> Evaluation:
        found = [part.evaluate(at) for part in self.parts]
        energies = torch.stack([one.energy for one in found])  # (P, B)
        shares = energies.new_tensor([part.weight for part in self.parts])
        shares = (shares / shares.sum()).log()[:, None]
        met, refuted = torch.stack([one.met for one in found]), torch.stack([one.refuted for one in found])
        # A mean of numbers up to 1 is at most 1 but for rounding.
        energy = -torch.logsumexp(shares - energies, 0)
        return Evaluation(energy.clamp_min(0), met.any(0), refuted.all(0))

    def rows(self, index: Tensor) -> Or:
        return replace(self, parts=tuple(part.rows(index) for part in self.parts))


@dataclass(frozen=True)
class Not:
    """The negation of a constraint: -log(1 - exp(-energy)), that of a probability. A plain -energy has no bottom.

    Not of an `Attribute` that is wanted is that attribute unwanted, margin included. The part's weight does not count.
    """

    part: Constraint
    weight: float = 1.0

    def evaluate(self, at: Point) -> Evaluation:
        energy, met, refuted = self.part.evaluate(at)
        # exp(-energy) is 1 where the part holds wholly: so far from its opposite that the logarithm has no value.
        return Evaluation(-torch.log(-torch.expm1(-energy.clamp_min(1e-30))), refuted, met)

    def rows(self, index: Tensor) -> Not:
        return replace(self, part=self.part.rows(index))
