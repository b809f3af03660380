"""The ten attributes: names, display names, one-of groups, parsing. The one place that knows them.

Attribute vectors `y` are ordered as `ATTRIBUTES`, shape (B, 10). 1 is "has it", 0 is "has not", 0.5 is "don't know".
A change is wanted or not, or a probability between: {"Smiling": 0.6} is a little smile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from lc.errors import LatentConstraintsError, UnknownAttributeError
from lc.numbers import number

__all__ = [
    "ATTRIBUTES",
    "DISPLAY_NAMES",
    "HAIR_COLOURS",
    "Strength",
    "apply_changes",
    "canonical",
    "index",
    "parse_assignments",
    "partial",
    "resolve",
    "unlikely",
]

#: Wanted or not, or the probability that is wanted, in [0, 1].
Strength = bool | float

#: CelebA's own names, in CelebA's (alphabetical) order.
ATTRIBUTES: tuple[str, ...] = (
    "Bald",
    "Black_Hair",
    "Blond_Hair",
    "Brown_Hair",
    "Eyeglasses",
    "Male",
    "No_Beard",
    "Smiling",
    "Wearing_Hat",
    "Young",
)

DISPLAY_NAMES: dict[str, str] = {
    "Bald": "Bald",
    "Black_Hair": "Black hair",
    "Blond_Hair": "Blond hair",
    "Brown_Hair": "Brown hair",
    "Eyeglasses": "Eyeglasses",
    "Male": "Male",
    "No_Beard": "No beard",
    "Smiling": "Smiling",
    "Wearing_Hat": "Wearing a hat",
    "Young": "Young",
}

#: One-of group: a face has at most one of these.
HAIR_COLOURS: tuple[str, ...] = ("Black_Hair", "Blond_Hair", "Brown_Hair")

_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+")

# What ticking an attribute says about others. A bald head shows no hair colour, and a hair colour no bald head.
# Of 438 photos with a hat 40 are labelled with a hair colour and 2 with Bald: under a hat it is none of them.
_EXCLUDES: dict[str, tuple[str, ...]] = {
    "Bald": (*HAIR_COLOURS, "Wearing_Hat"),
    "Wearing_Hat": ("Bald", *HAIR_COLOURS),
    **{colour: (*(other for other in HAIR_COLOURS if other != colour), "Bald") for colour in HAIR_COLOURS},
}

# Combinations that hardly anybody in the training data has; the edit is tried, with a warning.
_UNLIKELY: tuple[tuple[Mapping[str, bool], str], ...] = (
    ({"Bald": True, "Male": False}, "bald women"),
    ({"Bald": True, "Blond_Hair": True}, "bald people with blond hair"),
    ({"Bald": True, "Black_Hair": True}, "bald people with black hair"),
    ({"Bald": True, "Brown_Hair": True}, "bald people with brown hair"),
    ({"Bald": True, "Wearing_Hat": True}, "people labelled both bald and wearing a hat"),
    ({"No_Beard": False, "Male": False}, "women with a beard"),
)


def index(name: str) -> int:
    """Position of attribute `name` in `ATTRIBUTES`; case and "-", "_", " " do not matter.

    Raises:
        UnknownAttributeError: when there is no such attribute, with the nearest names.

    >>> index("eyeglasses")
    4
    """
    folded = name.strip().lower().replace(" ", "_").replace("-", "_")
    for i, known in enumerate(ATTRIBUTES):
        if folded in (known.lower(), DISPLAY_NAMES[known].lower().replace(" ", "_")):
            return i
    raise UnknownAttributeError(f"There is no attribute {name!r}: choose from {', '.join(ATTRIBUTES)}.")


def parse_assignments(assignments: Iterable[str]) -> dict[str, Strength]:
    """Read "NAME=0|1" texts, or "NAME=0.6", into {attribute name: wanted}. Later texts win.

    Raises:
        UnknownAttributeError: for an unknown name or a value that is not a number from 0 to 1.

    >>> parse_assignments(["Eyeglasses=1", "young=0", "Smiling=0.6"])
    {'Eyeglasses': True, 'Young': False, 'Smiling': 0.6}
    """
    wanted: dict[str, Strength] = {}
    for text in assignments:
        name, separator, value = text.partition("=")
        if not separator or not _NUMBER.fullmatch(value.strip()) or float(value) > 1:
            example = "for example Eyeglasses=1, or Smiling=0.6 for a little"
            raise UnknownAttributeError(f"Write {text!r} as NAME=0 or NAME=1, {example}.")
        wanted |= canonical({name: float(value)})
    return wanted


def canonical(changes: Mapping[str, Strength]) -> dict[str, Strength]:
    """The same changes under CelebA's own names, 0 and 1 as False and True.

    Raises:
        UnknownAttributeError: see `index`; also where a strength is not from 0 to 1.

    >>> canonical({"black hair": 1, "smiling": 0.6})
    {'Black_Hair': True, 'Smiling': 0.6}
    """
    named: dict[str, Strength] = {}
    for name, value in changes.items():
        attribute = ATTRIBUTES[index(name)]
        try:
            strength = number(value, 0, 1)
        except LatentConstraintsError as error:
            raise UnknownAttributeError(f"{attribute}: {error}") from error
        named[attribute] = bool(strength) if strength in (0, 1) else strength
    return named


def partial(changes: Mapping[str, Strength]) -> dict[str, float]:
    """The changes, under CelebA's own names, that ask for a probability between 0 and 1.

    >>> partial({"Young": True, "Smiling": 0.6})
    {'Smiling': 0.6}
    """
    return {name: float(value) for name, value in canonical(changes).items() if not isinstance(value, bool)}


def resolve(changes: Mapping[str, Strength]) -> dict[str, Strength]:
    """Add to the user's changes what they imply through the one-of groups.

    Ticking Blond_Hair (or asking for at least half of it) clears the other hair colours and Bald; what the user set
    explicitly is never overruled.

    >>> resolve({"Blond_Hair": True})
    {'Black_Hair': False, 'Brown_Hair': False, 'Bald': False, 'Blond_Hair': True}
    """
    named = canonical(changes)
    implied = {other: False for name, value in named.items() if value >= 0.5 for other in _EXCLUDES.get(name, ())}
    return {**implied, **named}


def apply_changes(y: Tensor, changes: Mapping[str, Strength]) -> tuple[Tensor, Tensor]:
    """Put changes into attribute vectors.

    Args:
        y: (B, 10) in [0, 1], what the critics read in the originals.
        changes: the user's changes; `resolve` is applied.

    Returns:
        The target (B, 10) in [0, 1], and a mask (B, 10) of bool: True at the attributes to push. What the user set is
        always pushed; what it only implies (blond: not black) is pushed where it is not so already, else held.
    """
    target, mask = y.clone(), torch.zeros_like(y, dtype=torch.bool)
    named = canonical(changes)
    for name, value in resolve(changes).items():
        i = index(name)
        pushed = torch.ones_like(mask[:, i]) if name in named else y[:, i] >= 0.5
        mask[:, i] = pushed
        target[:, i] = torch.where(pushed, float(value), y[:, i])
    return target, mask


def unlikely(y: Sequence[float]) -> str | None:
    """A sentence of warning when nearly nobody in the training data has the ten attributes `y`, or None."""
    has = {name: value >= 0.5 for name, value in zip(ATTRIBUTES, y, strict=True)}
    for combination, people in _UNLIKELY:
        if all(has[name] == value for name, value in combination.items()):
            return f"The training photos hold almost no {people}, so this edit may not look real."
    return None
