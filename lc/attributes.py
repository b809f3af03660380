"""The attributes of a model: names, titles, one-of groups, and the changes a user asks for.

Which attributes there are is a matter of the weights folder (`AttributeSet.of` reads config.json's "attributes"):
nothing here knows a name or how many there are. Attribute vectors `y` are ordered as `AttributeSet.names`, shape
(B, A). 1 is "has it", 0 is "has not", 0.5 is "don't know". A change is wanted or not, or a probability
between: {"Smiling": 0.6} is a little smile.

    >>> hair = AttributeSet((Attribute("Black_Hair", "Black hair"), Attribute("Blond_Hair", "Blond hair"),
    ...     Attribute("No_Beard", "Beard", inverted=True)), one_of=(("Black_Hair", "Blond_Hair"),))
    >>> hair.changes({"blond hair": 1}).resolved
    {'Black_Hair': False, 'Blond_Hair': True}
    >>> hair.parse(["beard=1"]).wanted  # a title counts in its own sense
    {'No_Beard': False}
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lc.colour import Colour
from lc.errors import Sentence, UnknownAttributeError, WeightsError
from lc.evidence import Evidence

__all__ = ["Attribute", "AttributeSet", "Changes", "Combination", "Strength"]

#: Wanted or not, or the probability that is wanted, in [0, 1].
Strength = bool | float

_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+")


@dataclass(frozen=True)
class Attribute:
    """One attribute.

    Attributes:
        name: the data set's own, such as "No_Beard"; what command line and API take.
        title: in words a visitor knows, such as "Beard".
        inverted: the title says the opposite of the name.
        on, off: the two directions of a change in a visitor's words, such as "Younger" and "Older"; empty where the
            title and its negation say enough. They are of the name's sense, not the title's.
        acts_on: the parts of a face, among the parser's classes, that a change of it may touch; empty: all of the
            person.
        begins: how far down an aligned crop a change begins, in parts of its side: a smile, under the nose.
        spares: where a change leaves the face as it is: about the "nose"; and the "mouth", which takes on other colours
            and no other form. Of all of the face its "structure", which takes on other tones only.
        creases: how much deeper the lines of the skin are without it, and with it, see `lc.faces.creases`: 1 is twice
            as deep, -1 is none.
        recolours: the part whose colour it is, and nothing else.
        colour: of that part where the attribute holds.
        part: the part whose presence it is, such as glasses; empty: none's.
        evidence: how a photo is read that may show that part; None: D_attr alone is asked.
        lacks: the part whose absence it is, as a bald head is hair's; empty: none's.
        shades: where it comes it is laid over the face and darkens it, as glasses do: the face is seen through it.
        lays: which of `lc.laid`'s layers shows it taken off, and put on, where a generator cannot; empty: none.
        adds: which of them go over what the generator draws of it, where it is taken off and where it is put on. One
            that goes over both goes over all between them.
        people: what to call people without it, and with it, in a sentence that says on whom an edit seldom works, such
            as "women" and "men"; empty texts: no such sentence is said of them.
    """

    name: str
    title: str
    inverted: bool = False
    on: str = ""
    off: str = ""
    acts_on: tuple[str, ...] = ()
    begins: float = 0.0
    spares: tuple[str, ...] = ()
    creases: tuple[float, float] = (0.0, 0.0)
    recolours: str = ""
    colour: Colour | None = None
    part: str = ""
    evidence: Evidence | None = None
    lacks: str = ""
    shades: bool = False
    lays: tuple[str, str] = ("", "")
    adds: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    people: tuple[str, str] = ("", "")

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Attribute:
        """Build from JSON; raises KeyError, TypeError or ValueError where it does not fit."""
        values = dict(entry)
        if (colour := values.get("colour")) is not None:
            mean, spread = (tuple(float(value) for value in colour[key]) for key in ("mean", "spread"))
            if len(mean) != 3 or len(spread) != 3 or min(spread) <= 0:
                raise ValueError("a colour has three means and three positive spreads")
            values["colour"] = Colour(mean, spread, float(colour["contrast"]))
        without, with_ = map(str, values.get("people", ("", "")))
        deeper, fainter = map(float, values.get("creases", (0.0, 0.0)))
        adds = values.get("adds", ((), ()))
        off, on = (tuple(filter(None, [side] if isinstance(side, str) else side)) for side in adds)
        taken, put = ("", lays) if isinstance(lays := values.get("lays", ""), str) else map(str, lays)
        values |= {key: tuple(map(str, values.get(key, ()))) for key in ("acts_on", "spares")}
        if (evidence := values.get("evidence")) is not None:
            values["evidence"] = Evidence(*map(float, evidence))
        values |= {"people": (without, with_), "adds": (off, on), "lays": (taken, put), "creases": (deeper, fainter)}
        return cls(**{**values, "begins": float(values.get("begins", 0.0))})

    def laid(self, wanted: Strength) -> str:
        """Which of `lc.laid`'s layers shows a change in a photo in the generator's stead; empty: none."""
        return self.lays[wanted] if isinstance(wanted, bool) else ""

    def added(self, wanted: Strength) -> tuple[str, ...]:
        """Which of them go over what it draws of a change."""
        off, on = self.adds
        return self.adds[wanted] if isinstance(wanted, bool) else tuple(layer for layer in on if layer in off)

    def creased(self, wanted: Strength) -> float:
        """How much deeper a change makes the lines of the skin."""
        return abs(2 * float(wanted) - 1) * self.creases[wanted > 0.5]  # a probability of one half asks for nothing


@dataclass(frozen=True)
class Combination:
    """A combination of attributes that nearly nobody in the training data has.

    Attributes:
        when: attribute name -> value.
        people: what to call them in a sentence, such as "bald women".
    """

    when: Mapping[str, bool]
    people: str


@dataclass(frozen=True)
class AttributeSet:
    """The attributes that a model was trained for, in the order of its vectors.

    Attributes:
        attributes: at least one, with different names.
        one_of: groups of which a face has at most one, such as hair colours.
        excludes: what having an attribute says about others: a bald head shows no hair colour. The groups of `one_of`
            need not be repeated.
        unlikely: combinations that an edit warns of.
        opening: what everybody sees at a glance: the page opens with the first of these that its example lacks.

    Raises:
        ValueError: two attributes of one name, or a name in the rules that is none of them.
    """

    attributes: tuple[Attribute, ...]
    one_of: tuple[tuple[str, ...], ...] = ()
    excludes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unlikely: tuple[Combination, ...] = ()
    opening: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.attributes or len(set(self.names)) < len(self.names):
            raise ValueError("an attribute set needs attributes of different names")
        groups = *self.one_of, *(combination.when for combination in self.unlikely)
        mentioned = [*self.opening, *(name for group in groups for name in group)]
        mentioned += [name for key, others in self.excludes.items() for name in (key, *others)]
        if unknown := sorted(set(mentioned) - set(self.names)):
            raise ValueError(f"there is no attribute {unknown[0]!r} for a rule to speak of")

    def __len__(self) -> int:
        return len(self.attributes)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The data set's names, in order."""
        return tuple(attribute.name for attribute in self.attributes)

    def index(self, name: str) -> int:
        """Position of the attribute called `name`; case and "-", "_", " " do not matter. A title counts too.

        Raises:
            UnknownAttributeError: there is none.
        """
        return self._find(name)[0]

    def _find(self, name: str) -> tuple[int, bool]:
        """Position, and whether `name` has the opposite sense."""
        folded = _folded(name)
        for i, known in enumerate(self.attributes):
            if folded == _folded(known.name):
                return i, False
        for i, known in enumerate(self.attributes):
            if folded == _folded(known.title):
                return i, known.inverted
        raise UnknownAttributeError(
            "There is no attribute {name!r}: choose from {names}.", name=name, names=", ".join(self.names)
        )

    def __getitem__(self, name: str) -> Attribute:
        """The attribute called `name`; raises as `index` does."""
        return self.attributes[self.index(name)]

    def parse(self, assignments: Iterable[str]) -> Changes:
        """Read "NAME=0|1" texts, or "NAME=0.6". Later texts win.

        Raises:
            UnknownAttributeError: for an unknown name or a value that is not a number from 0 to 1.
        """
        wanted: dict[str, Strength] = {}
        for text in assignments:
            name, separator, value = text.partition("=")
            if not separator or not _NUMBER.fullmatch(value.strip()) or float(value) > 1:
                first = self.names[0]
                example = f"for example {first}=1, or {first}=0.6 for a little"
                raise UnknownAttributeError(f"Write {text!r} as NAME=0 or NAME=1, {example}.")
            wanted |= self.changes({name: float(value)}).wanted
        return Changes(self, wanted)

    def changes(self, wanted: Mapping[str, Strength] | Changes | None) -> Changes:
        """The changes a user asks for, checked and under the data set's names.

        Raises:
            UnknownAttributeError: see `index`; also where a strength is not a number from 0 to 1.
        """
        if isinstance(wanted, Changes):
            return wanted
        named: dict[str, Strength] = {}
        for name, value in (wanted or {}).items():
            i, opposite = self._find(name)
            if not isinstance(value, (bool, int, float)) or not 0 <= value <= 1:  # NaN compares false
                raise UnknownAttributeError(
                    "{name} cannot be {value}: choose a number from 0 to 1.", name=name, value=value
                )
            strength = 1 - value if opposite else value
            named[self.names[i]] = bool(strength) if strength in (0, 1) else float(strength)
        return Changes(self, named)

    def excluded_by(self, name: str) -> tuple[str, ...]:
        """The attributes that having `name` says a face has not."""
        others = [other for group in self.one_of if name in group for other in group if other != name]
        return (*others, *(other for other in self.excludes.get(name, ()) if other not in others))

    def warning(self, y: Sequence[float], painted: Collection[str] = ()) -> Sentence | None:
        """A sentence when nearly nobody in the training data has the attributes `y`, (A,), or None. What is `painted`
        is none of the generator's, so that it need not have seen anybody with it."""
        has = {name: value >= 0.5 for name, value in zip(self.names, y, strict=True)}
        for combination in self.unlikely:
            if combination.when.keys().isdisjoint(painted) and all(
                has[name] == value for name, value in combination.when.items()
            ):
                return Sentence(
                    "The training photos hold almost no {people}, so this edit may not look real.",
                    people=Sentence(combination.people),
                )
        return None

    def named(self, values: Iterable[float]) -> dict[str, float]:
        """Attribute name -> value, for (A,) values in order."""
        return dict(zip(self.names, values, strict=True))

    def title_probability(self, name: str, probability: float) -> float:
        """How probable the title of the attribute is: of an inverted one the rest to 1."""
        return 1 - probability if self[name].inverted else probability

    def columns(self, names: Iterable[str], device: torch.device | None = None) -> Tensor:
        """(A,) bool, True at these names."""
        among = set(names)
        return torch.tensor([name in among for name in self.names], device=device)

    # --- as JSON -------------------------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """What `of` reads."""
        attributes = [
            {key: value for key, value in asdict(a).items() if value not in ("", False, None, (), ("", ""), ((), ()))}
            for a in self.attributes
        ]
        return {
            "attributes": attributes,
            "one_of": [list(group) for group in self.one_of],
            "excludes": {name: list(others) for name, others in self.excludes.items()},
            "unlikely": [{"when": dict(c.when), "people": c.people} for c in self.unlikely],
            "opening": list(self.opening),
        }

    @classmethod
    def of(cls, section: Any) -> AttributeSet:
        """Build from config.json's section "attributes".

        Raises:
            WeightsError: it does not fit.
        """
        try:
            return cls(
                tuple(Attribute.of(entry) for entry in section["attributes"]),
                tuple(tuple(map(str, group)) for group in section.get("one_of", ())),
                {str(name): tuple(map(str, others)) for name, others in section.get("excludes", {}).items()},
                tuple(
                    Combination({str(k): bool(v) for k, v in entry["when"].items()}, str(entry["people"]))
                    for entry in section.get("unlikely", ())
                ),
                tuple(map(str, section.get("opening", ()))),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"The section 'attributes' of config.json does not fit this program ({error}): fetch the weights "
                "again, or run python -m train.migrate OLD NEW."
            ) from error


@dataclass(frozen=True)
class Changes:
    """What a user asks for, checked: made by `AttributeSet.changes` or `.parse`, and passed on as it is.

    Attributes:
        among: the attributes it speaks of.
        wanted: attribute name -> True, False, or a probability strictly between.
    """

    among: AttributeSet
    wanted: Mapping[str, Strength]

    def __bool__(self) -> bool:
        return bool(self.wanted)

    @cached_property
    def partial(self) -> dict[str, float]:
        """Those that ask for a probability between 0 and 1."""
        return {name: float(value) for name, value in self.wanted.items() if not isinstance(value, bool)}

    @cached_property
    def outright(self) -> Changes:
        """Those that ask for 0 or 1."""
        return Changes(self.among, {name: value for name, value in self.wanted.items() if isinstance(value, bool)})

    @cached_property
    def resolved(self) -> dict[str, Strength]:
        """With what they imply through the one-of groups: asking for at least half of one clears what it excludes;
        what the user set explicitly is never overruled."""
        among = self.among
        implied = {
            other: False for name, value in self.wanted.items() if value >= 0.5 for other in among.excluded_by(name)
        }
        return {**implied, **self.wanted}

    @cached_property
    def independent(self) -> tuple[str, ...]:
        """The names of those that no other of them asks for by itself, as blond for "not brown"."""
        return tuple(
            name
            for name in self.wanted
            if not any(self._implies(other, name) for other in self.wanted if other != name)
        )

    def _implies(self, name: str, other: str) -> bool:
        single = Changes(self.among, {name: self.wanted[name]})
        return single.resolved.get(other) == self.wanted[other]

    def over(self, earlier: Changes) -> Changes:
        """These, and what of the earlier ones they say nothing about."""
        kept = {name: value for name, value in earlier.wanted.items() if name not in self.resolved}
        return Changes(self.among, {**kept, **self.wanted})

    def apply(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Put the changes into attribute vectors.

        Args:
            y: (B, A) in [0, 1], what the critics read in the originals.

        Returns:
            The target (B, A) in [0, 1], and (B, A) bool: True at the attributes that are edited.
            What the user set is always edited; what it only implies (blond: not black) is edited where it is not so
            already, else preserved.
        """
        target, edited = y.clone(), torch.zeros_like(y, dtype=torch.bool)
        for name, value in self.resolved.items():
            i = self.among.names.index(name)
            rows = torch.ones_like(edited[:, i]) if name in self.wanted else y[:, i] >= 0.5
            edited[:, i] = rows
            target[:, i] = torch.where(rows, float(value), y[:, i])
        return target, edited


def _folded(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
