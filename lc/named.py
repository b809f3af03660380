"""What a name stands for: an attribute of the model, a taught attribute, or a rule; and constraints made of names.

>>> Wanted.parse("Smiling"), Wanted.parse("Bangs=0")
(Wanted(name='Smiling', strength=1.0), Wanted(name='Bangs', strength=0.0))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from lc.attributes import Strength
from lc.constraints import Constraint, Not, Or, Rule, Taught
from lc.edit.problem import constraints_of
from lc.edit.space import LatentSpace
from lc.errors import LatentConstraintsError, UnknownAttributeError
from lc.following import Scale, StandIn, decoded, follow, lessons, measure, sample, stand_in, values
from lc.learned import LearnedRule
from lc.rules import NamedRule, Pictures, named_rule, rules
from lc.taught import LinearCritic, TaughtAttribute

__all__ = ["Request", "Vocabulary", "Wanted"]


@dataclass(frozen=True)
class Wanted:
    """A name, and how much of it: 1 it holds, 0 it does not, or a probability between."""

    name: str
    strength: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """Read "NAME" or "NAME=0..1".

        Raises:
            UnknownAttributeError: it is neither.
        """
        name, separator, value = text.partition("=")
        try:
            strength = float(value) if separator else 1.0
        except ValueError:
            strength = -1.0
        if not name.strip() or not 0 <= strength <= 1:
            raise UnknownAttributeError(f"Write {text!r} as NAME, NAME=0, NAME=1 or NAME=0.6, for example Smiling=1.")
        return cls(name.strip(), strength)


@dataclass(frozen=True)
class Request:
    """What is asked for by names.

    Attributes:
        set: of the model's own attributes, name -> wanted.
        require: what is to hold: taught attributes and rules.
        forbid: what is not to hold, of any kind.
        either: groups, of each of which one at least is to hold.
    """

    set: Mapping[str, Strength]
    require: tuple[Wanted, ...] = ()
    forbid: tuple[Wanted, ...] = ()
    either: tuple[tuple[Wanted, ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.set or self.require or self.forbid or self.either)

    @property
    def names(self) -> tuple[Wanted, ...]:
        """All but `set`."""
        return (*self.require, *self.forbid, *(one for group in self.either for one in group))


@dataclass
class _Known:
    """What was measured of rules, by their names; and the faces that it was measured on."""

    scales: dict[str, Scale]
    stand_ins: dict[str, StandIn]
    pictures: list[Pictures]


class Vocabulary:
    """Names and their constraints, for one model.

    Args:
        space: of the model.
        taught: attributes that were taught to it.

    Raises:
        LatentConstraintsError: two taught attributes have one name.
    """

    def __init__(self, space: LatentSpace, taught: Sequence[TaughtAttribute] = ()) -> None:
        self.space = space
        self.taught = {one.name.lower(): one for one in taught}
        if len(self.taught) < len(taught):
            raise LatentConstraintsError("Two of the taught attributes have the same name: use one of them.")
        self._known = _Known({}, {}, [])

    def knowing(self, taught: Sequence[TaughtAttribute]) -> Vocabulary:
        """The same with these taught attributes instead; what was measured of rules is shared."""
        other = Vocabulary(self.space, taught)
        other._known = self._known
        return other

    def constraint(self, wanted: Wanted, z: Tensor | None = None) -> Constraint:
        """The constraint that a name stands for.

        Args:
            wanted: the name, and how much of it. Of a rule, what lies between 1/2 and 1 is a part of the way, and below
                1/2 its negation is wanted.
            z: (B, latent) of the photos that are edited, of which a rule wants more than they have; None for generated
                faces.

        Raises:
            UnknownAttributeError: nothing has this name.
            LatentConstraintsError: a rule that this model cannot have.
        """
        if taught := self.taught.get(_folded(wanted.name)):
            return taught.constraint(wanted.strength)
        if self.is_attribute(wanted.name):
            return constraints_of(self.space, {wanted.name: wanted.strength})[0]
        if wanted.strength < 0.5:
            return Not(self.rule(wanted.name, z))
        return self.rule(wanted.name, z, max(0.1, 2 * wanted.strength - 1))

    def rule(self, name: str, z: Tensor | None = None, share: float = 1.0) -> Rule | Taught:
        """The rule of this name, followed where it is differentiable, else by a critic; see `constraint`, `follow`."""
        try:
            chosen = named_rule(name)
        except UnknownAttributeError as error:
            raise UnknownAttributeError(self._unknown(name)) from error
        scale = self.scale(chosen)
        fitted = None if chosen.differentiable else self.stand_in(chosen)
        return fitted.constraint(z, share=share) if fitted else follow(self.space, chosen, scale, z, share=share)

    def scale(self, chosen: NamedRule) -> Scale:
        """What a rule gives for faces in general; raises LatentConstraintsError as `lc.following.measure` does."""
        known = self._known
        learned = self._learned(chosen)
        if chosen.name not in known.scales and learned:
            known.scales[chosen.name] = Scale(learned.mean, learned.std)
        if chosen.name not in known.scales:
            chosen.checked(self.space.model.parser)
            known.pictures = known.pictures or sample(self.space)
            known.scales[chosen.name] = measure(self.space, chosen, known.pictures)
        return known.scales[chosen.name]

    def _learned(self, chosen: NamedRule) -> LearnedRule | None:
        """What the weights folder knows of a rule, unless somebody's own has taken its name."""
        return self.space.model.rules.get(chosen.name) if chosen.built_in else None

    def stand_in(self, chosen: NamedRule) -> StandIn:
        """The critic for a rule that has no gradient: the weights folder's, else it is fitted now. Decoding is what
        takes long: all such rules are done at once."""
        fitted, learned = self._known.stand_ins, self._learned(chosen)
        if chosen.name not in fitted and learned and learned.critic:
            known = learned.critic
            critic = LinearCritic(known.weight, known.bias)
            fitted[chosen.name] = StandIn(
                self.space, chosen, self.scale(chosen), critic, known.direction, known.explained
            )
        if chosen.name not in fitted:
            parser = self.space.model.parser
            others = [one for one in rules() if not one.differentiable and one.possible(parser)]
            said = values(list(dict.fromkeys([chosen, *others])), decoded(self.space, lessons(self.space)))
            for one in [chosen, *others]:
                fitted[one.name] = stand_in(self.space, one, self.scale(one), said[one.name])
        return fitted[chosen.name]

    def constraints(self, request: Request, z: Tensor | None = None) -> list[Constraint]:
        """All that is asked for beyond `Request.set`; raises as `constraint` does."""
        found = [self.constraint(one, z) for one in request.require]
        for one in request.forbid:
            if one.strength in (0, 1):
                found.append(self.constraint(Wanted(one.name, 1 - one.strength), z))
            else:
                found.append(Not(self.constraint(one, z)))
        return found + [Or(tuple(self.constraint(one, z) for one in group)) for group in request.either]

    def is_attribute(self, name: str) -> bool:
        """Whether it is one of the model's own."""
        try:
            self.space.attributes.index(name)
        except UnknownAttributeError:
            return False
        return True

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All that can be asked for: the model's, the taught, the rules'."""
        taught = (one.name for one in self.taught.values())
        return (*self.space.attributes.names, *taught, *(one.name for one in rules()))

    def check(self, names: Iterable[Wanted]) -> None:
        """Refuse unknown names and rules that the model cannot have, before anything is computed."""
        for one in names:
            if not self.is_attribute(one.name) and _folded(one.name) not in self.taught:
                try:
                    chosen = named_rule(one.name)
                except UnknownAttributeError as error:
                    raise UnknownAttributeError(self._unknown(one.name)) from error
                chosen.checked(self.space.model.parser)

    def _unknown(self, name: str) -> str:
        return f"Nothing is called {name!r}: choose from {', '.join(self.names)}."


def _folded(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
