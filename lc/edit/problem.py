"""What is wanted of latents: constraints, and what is to be preserved."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lc.attributes import Changes, Strength
from lc.constraints import And, Attribute, Attributes, Constraint, Distance, Not, Realism, Taught, evaluate
from lc.edit.space import LatentSpace

__all__ = ["Problem", "changes_of", "constraints_of", "pose", "wanted_changes"]


@dataclass(frozen=True)
class Problem:
    """Latents, what is wanted of them, and what is to be preserved. Made by `pose`.

    Attributes:
        z: (B, latent), where they are.
        before: (B, A), the probabilities that D_attr reads there.
        attributes: the attributes that are wanted and preserved, as one constraint on D_attr.
        others: the constraints that the actor was not trained for, by name.
        preserved: (A,) bool, the attributes that the constraints neither name nor imply.
        target_margin: (A,), the logit that each edited attribute is brought to by correction, at least.
        strengths: attributes wanted by a probability between 0 and 1.
        proposed: (B, A) bool, those of `edited` that the actor's one pass edits: not strengths, nor what only they
            imply.
        moves: the rows, (B,) bool, of changes that a move learned from pairs makes, by name: those of an attribute that
            D_attr does not read as wanted already.
        style: which exemplar such moves follow.
        laid: what some of them add to the latents instead, (B, latent), by name, see `lc.laid`; zeros in rows onto
            which nothing could be laid.
        lines: the rows, (B,) bool, of changes that each go along the actor's line for it alone and that no correction
            follows, by name; the rest is proposed and corrected from where they lead.
        step_scales: how much longer than others the move of a change in `lines` is, by name, see `lc.identity`.
        step_scale: the same of what is proposed.
        several: whether more than one change is proposed.
        pictures: (B, 3, S, S) in [0, 1], decoded from z, where they are known already.
    """

    z: Tensor
    before: Tensor
    attributes: Attributes
    others: Mapping[str, Constraint]
    preserved: Tensor
    target_margin: Tensor
    strengths: Mapping[str, float]
    proposed: Tensor
    moves: Mapping[str, Tensor] = field(default_factory=dict)
    style: int = 0
    laid: Mapping[str, Tensor] = field(default_factory=dict)
    lines: Mapping[str, Tensor] = field(default_factory=dict)
    step_scales: Mapping[str, float] = field(default_factory=dict)
    step_scale: float = 1.0
    several: bool = False
    pictures: Tensor | None = None

    @property
    def target(self) -> Tensor:
        """(B, A) in [0, 1], wanted probabilities where `edited`, else those before."""
        return self.attributes.wanted

    @property
    def edited(self) -> Tensor:
        """(B, A) bool; what the user set is always edited, what it only implies where it is not so already."""
        return self.attributes.edited

    def met(self, z: Tensor, margin: float) -> Tensor:
        """Whether D_attr reads every edited attribute at latents (B, latent), `margin` logits beyond the boundary, (B,)
        of bool."""
        return evaluate(replace(self.attributes, margin=margin), z).met

    def constraints(self, space: LatentSpace, identity: float) -> dict[str, Constraint]:
        """All that descent follows, by name: what is wanted and preserved, a realistic latent, a near one.

        Args:
            space: of the model.
            identity: place of the identity slider, in [0, 1]: the distance weighs more towards 1.
        """
        tuning = space.tuning
        return {
            "attributes": self.attributes,
            "realism": Realism(space.critic, tuning.realism_weight, tuning.realism_level),
            "distance": Distance(self.z, space.sigma_bar, weight=space.model.distance_weight(identity)),
            **self.others,  # a Realism or Distance of the caller's own takes the place of these
        }

    @property
    def proposes(self) -> bool:
        """Whether there is a proposal to begin with: by the actor, or along the direction of a taught attribute."""
        directed = (one for one in self.others.values() if isinstance(one, Taught))
        return bool(self.edited.any()) or any(one.direction is not None for one in directed)

    @property
    def _directed(self) -> list[Taught]:
        """The taught attributes with a direction, of which nothing but their critics says when they are met."""
        directed = (one for one in self.others.values() if isinstance(one, Taught) and one.direction is not None)
        return [one for one in directed if one.measured is None]

    @property
    def taught(self) -> bool:
        """Whether there is a taught attribute with a direction, of which nothing but its critic says when it is met."""
        return bool(self._directed)

    @property
    def straight(self) -> bool:
        """Whether some of what is `taught` has no actor."""
        return any(one.actor is None for one in self._directed)

    @property
    def empty(self) -> bool:
        """Whether nothing is wanted."""
        return not self.others and not bool(self.edited.any())


def constraints_of(space: LatentSpace, changes: Mapping[str, Strength] | Changes | None) -> list[Attribute]:
    """Changes by attribute name as constraints, one each; raises UnknownAttributeError."""
    tuning, among = space.tuning, space.attributes
    return [
        Attribute(
            space.attribute_critic,
            among.names.index(name),
            float(wanted),
            margin=tuning.margin,
            tolerance=tuning.tolerance,
        )
        for name, wanted in among.changes(changes).wanted.items()
    ]


def changes_of(
    space: LatentSpace, constraints: Iterable[Constraint]
) -> tuple[dict[str, Attribute], dict[str, Constraint]]:
    """Constraints as those that the actor was trained for, by attribute name, and the others, by kind.

    An And counts as its parts, and the negation of a whole attribute as that attribute unwanted. Of several constraints
    on one attribute, built-in or taught, the last counts.
    """
    served: dict[str, Attribute] = {}
    others: dict[str, Constraint] = {}
    critics = space.attribute_critic, space.model.attribute_critic  # the same logits
    for constraint in _flattened(constraints):
        if isinstance(constraint, Attribute) and constraint.critic in critics:
            served[space.attributes.names[constraint.column]] = constraint
            continue
        if isinstance(constraint, Taught) and constraint.name:
            others[constraint.name] = constraint
            continue
        kind, count = type(constraint).__name__.lower(), 1
        while (name := kind if count == 1 else f"{kind} {count}") in others:
            count += 1
        others[name] = constraint
    return served, others


def wanted_changes(space: LatentSpace, served: Mapping[str, Attribute]) -> Changes:
    """What attribute constraints by name ask for, as changes."""
    return space.attributes.changes({name: one.wanted for name, one in served.items()})


def _flattened(constraints: Iterable[Constraint]) -> Iterator[Constraint]:
    for constraint in constraints:
        part = constraint.part if isinstance(constraint, Not) else None
        if isinstance(constraint, And) and constraint.weight == 1:
            yield from _flattened(constraint.parts)
        elif isinstance(constraint, Not) and isinstance(part, Attribute | Taught) and part.wanted in (0, 1):
            yield replace(part, wanted=1 - part.wanted, weight=constraint.weight)
        else:
            yield constraint


@torch.inference_mode(False)  # what is made in it cannot take part in gradients
def pose(
    space: LatentSpace,
    z: Tensor,
    constraints: Iterable[Constraint],
    preserve: Collection[str] | None = None,
    pictures: Tensor | None = None,
    style: int = 0,
    laid: Mapping[str, Tensor] | None = None,
    present: Mapping[str, Tensor] | None = None,
) -> Problem:
    """What constraints ask of latents.

    Args:
        space: of the model.
        z: (B, latent).
        constraints: see `constraints_of` for those that the actor serves: on `space.attribute_critic`.
        preserve: names of attributes to keep as they are; None: all that the constraints neither name nor imply.
        pictures: (B, 3, S, S) in [0, 1], decoded from z, where they are known already.
        style, laid: see `Problem`.
        present: (B,) bool by attribute: rows that have it whatever D_attr reads, because a parser finds it.

    Raises:
        UnknownAttributeError: a name in `preserve` is no attribute.
    """
    served, others = changes_of(space, constraints)
    among, changes = space.attributes, wanted_changes(space, served)
    with torch.inference_mode():
        before = torch.sigmoid(space.attribute_critic(z))
    target, edited = changes.apply(before)
    implied = among.columns(changes.resolved, z.device)
    preserved = ~implied
    if preserve is not None:
        preserved &= among.columns(among.changes(dict.fromkeys(preserve, True)).wanted, z.device)
    strengths, calibration = changes.partial, space.model.calibration
    moves = _moves(space, changes, before, laid or {}, present or {})
    lines = {name: _direction(changes, name) for name in changes.independent if name not in strengths}
    lines = {name: one for name, one in lines.items() if one in calibration.uncorrected and name not in moves}
    there = {name: shift.any(1) for name, shift in (laid or {}).items()}
    on_photos = {name for name, rows in there.items() if rows.all()}  # whose changes no step makes
    alone = [name for name in changes.independent if name not in lines and name not in on_photos]
    by_actor = changes.outright.resolved.keys() - strengths.keys() - moves.keys() - lines.keys()
    proposed = edited & among.columns(by_actor, z.device)
    for name, rows in there.items():  # the actor serves those photos onto which nothing could be laid
        column = among.names.index(name)
        proposed[:, column], moves[name] = edited[:, column] & ~rows, moves[name] & rows
    if there and changes.wanted.keys() <= there.keys():  # what such changes imply is seen in the photo as they are
        proposed &= ~torch.stack(list(there.values())).all(0)[:, None]
    return Problem(
        z=z.clone(),
        before=before.clone(),
        attributes=_attributes(space, served, target.clone(), edited.clone(), preserved | implied),
        others=others,
        preserved=preserved,
        target_margin=_target_margins(space, changes, len(alone) > 1).to(z),
        strengths=strengths,
        proposed=proposed,
        moves=moves,
        style=style,
        laid={name: shift.clone() for name, shift in (laid or {}).items()},
        lines={name: edited[:, among.names.index(name)].clone() for name in lines},
        # Two of them lead further than one, but not all the way of both, where faces fall apart.
        step_scales={name: calibration.step_scales.get(one, 1.0) / len(lines) ** 0.25 for name, one in lines.items()},
        # Step scales are measured one change at a time.
        step_scale=calibration.step_scales.get(_direction(changes, alone[0]), 1.0) if len(alone) == 1 else 1.0,
        several=len(alone) > 1,
        pictures=pictures.clone() if pictures is not None else None,
    )


def _moves(
    space: LatentSpace,
    changes: Changes,
    before: Tensor,
    laid: Mapping[str, Tensor],
    present: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """See `Problem.moves`."""
    exemplars = space.model.exemplars
    columns = {name: space.attributes.names.index(name) for name in changes.wanted}
    found = {}
    for name, value in changes.outright.wanted.items():
        if name not in laid and (exemplars is None or exemplars.get(name, bool(value)) is None):
            continue
        rows = (before[:, columns[name]] >= 0.5) != bool(value)
        found[name] = rows | present[name].to(rows.device) if name in present and not value else rows
    return found


def _attributes(
    space: LatentSpace, served: Mapping[str, Attribute], target: Tensor, edited: Tensor, kept: Tensor
) -> Attributes:
    """One constraint for all columns: edited ones (B, A) weigh what theirs do, those `kept` (A,) the preservation."""
    tuning = space.tuning
    preservation = tuning.preservation_weight if served else tuning.preservation_weight_alone
    weights = torch.where(edited, 1.0, preservation * kept.float())  # (B, A)
    margin, tolerance = (weights.new_full((len(kept),), value) for value in (tuning.margin, tuning.tolerance))
    for name, one in served.items():
        column = space.attributes.names.index(name)
        weights[:, column], margin[column], tolerance[column] = one.weight, one.margin, one.tolerance
    return Attributes(space.attribute_critic, target, edited, weights, margin, tolerance)


def _target_margins(space: LatentSpace, changes: Changes, several: bool) -> Tensor:
    """(A,); what one change may ask for is too much where several add up."""
    tuning, measured = space.tuning, space.model.calibration.target_margins
    wanted = ((name, int(changes.wanted.get(name, False))) for name in space.attributes.names)
    margins = [measured.get(f"{name}={value}", tuning.target_margin) for name, value in wanted]
    return torch.tensor([min(one, tuning.target_margin_several) for one in margins] if several else margins)


def _direction(changes: Changes, name: str) -> str:
    """A change as calibration names it, such as "Bald=1"."""
    return f"{name}={int(changes.wanted[name])}"
