"""Rules: functions of the decoded picture, by name. They need no data.

A rule gives a number per picture; more of it is wanted. `lc.following` makes constraints of rules.

One's own rule is a function and a decorator; nothing else needs to know of it, the command line included:

    >>> @rule("greener")
    ... def greener(seen: Pictures) -> Tensor:
    ...     red, green, blue = seen.images.unbind(1)
    ...     return (green - (red + blue) / 2).mean((1, 2))
    >>> named_rule("Greener")(Pictures(torch.tensor([0.2, 0.8, 0.2]).view(1, 3, 1, 1).expand(1, 3, 4, 4)))
    tensor([0.6000])

A function is given `Pictures`: the images, and masks of the face's parts where the model has a face parser.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from lc.errors import LatentConstraintsError, UnknownAttributeError
from lc.parser import Parser

__all__ = ["NamedRule", "Pictures", "hair_like", "named_rule", "rule", "rules"]

_LUMINANCE = (0.2126, 0.7152, 0.0722)  # Rec. 709


@dataclass(frozen=True, eq=False)
class Pictures:
    """Decoded pictures, and which of their pixels are what.

    Attributes:
        images: (B, 3, S, S) in [0, 1].
        parser: the face parser, where there is one.
    """

    images: Tensor
    parser: Parser | None = None

    @cached_property
    def _masks(self) -> Tensor:
        assert self.parser is not None  # rules that need masks are refused without one
        with torch.no_grad():  # else a rule is satisfied by what the parser takes for hair
            return self.parser.parse(self.images.detach()).clone()

    def mask(self, part: str) -> Tensor:
        """How much of each pixel is this part, (B, S, S) in [0, 1]; parts are `lc.parser.CLASSES`. No gradient."""
        assert self.parser is not None
        return self._masks[:, self.parser.config.classes.index(part)]

    def luminance(self) -> Tensor:
        """(B, S, S) in [0, 1]."""
        weights = self.images.new_tensor(_LUMINANCE)[:, None, None]
        return (self.images * weights).sum(1)

    def average(self, values: Tensor, part: str) -> Tensor:
        """The mean over a part of the face of values (B, S, S), (B,); of the picture where it is absent."""
        mask = self.mask(part)
        return ((values * mask).sum((1, 2)) + 1e-3 * values.mean((1, 2))) / (mask.sum((1, 2)) + 1e-3)


Function: TypeAlias = Callable[[Pictures], Tensor]


@dataclass(frozen=True)
class NamedRule:
    """A rule that can be asked for by name.

    Attributes:
        name: such as "warmer"; what is wanted, as a visitor would say it.
        function: pictures -> (B,), more is better.
        needs: the parts of the face whose masks it asks for.
        differentiable: whether its gradient says how to get more.
        acts_on: the parts of a face that an edit by it may touch; empty: all of the person.
    """

    name: str
    function: Function
    needs: tuple[str, ...] = ()
    differentiable: bool = True
    acts_on: tuple[str, ...] = ()

    def __call__(self, pictures: Pictures) -> Tensor:
        return self.function(pictures)

    @property
    def built_in(self) -> bool:
        """Whether it is one of this module's, and not somebody's own of the same name."""
        return self.function.__module__ == __name__

    def possible(self, parser: Parser | None) -> bool:
        """Whether the model can tell the parts it needs."""
        return not self._missing(parser)

    def _missing(self, parser: Parser | None) -> list[str]:
        return [part for part in self.needs if parser is None or part not in parser.config.classes]

    def checked(self, parser: Parser | None) -> NamedRule:
        """Itself; raises LatentConstraintsError where the model cannot tell the parts it needs."""
        if missing := self._missing(parser):
            raise LatentConstraintsError(
                f"The rule {self.name} needs to know where the {missing[0]} is, and these weights have no face parser "
                "that says so: take weights with one, or another rule."
            )
        return self


_RULES: dict[str, NamedRule] = {}


def rule(
    name: str, needs: tuple[str, ...] = (), differentiable: bool = True, acts_on: tuple[str, ...] = ()
) -> Callable[[Function], Function]:
    """A decorator: the function is the rule of this name. See `NamedRule`."""

    def add(function: Function) -> Function:
        _RULES[name.lower()] = NamedRule(name, function, needs, differentiable, acts_on)
        return function

    return add


def rules() -> tuple[NamedRule, ...]:
    """All that are registered, in that order."""
    return tuple(_RULES.values())


def named_rule(name: str) -> NamedRule:
    """The rule of this name; case, spaces and hyphens do not matter. "hair_like_a52a2a" is made on demand.

    Raises:
        UnknownAttributeError: there is none.
        LatentConstraintsError: it is a colour of hair that cannot be read.
    """
    key = name.strip().lower().replace(" ", "_").replace("-", "_")
    if key in _RULES:
        return _RULES[key]
    if key.startswith("hair_like_"):
        return hair_like(key.removeprefix("hair_like_"))
    raise UnknownAttributeError(
        f"There is no rule {name!r}: choose from {', '.join(_RULES)}, or hair_like_RRGGBB for a colour."
    )


# --- the registry --------------------------------------------------------------------------------------------------


def _warmth(seen: Pictures) -> Tensor:
    return (seen.images[:, 0] - seen.images[:, 2]).mean((1, 2))


@rule("warmer")
def _warmer(seen: Pictures) -> Tensor:
    return _warmth(seen)


@rule("cooler")
def _cooler(seen: Pictures) -> Tensor:
    return -_warmth(seen)


@rule("more_symmetrical")
def _more_symmetrical(seen: Pictures) -> Tensor:
    return -(seen.images - seen.images.flip(3)).abs().mean((1, 2, 3))


@rule("brighter_background", needs=("background",), acts_on=("background",))
def _brighter_background(seen: Pictures) -> Tensor:
    return seen.average(seen.luminance(), "background")


@rule("darker_background", needs=("background",), acts_on=("background",))
def _darker_background(seen: Pictures) -> Tensor:
    return -seen.average(seen.luminance(), "background")


@rule("lighter_hair", needs=("hair",), acts_on=("hair",))
def _lighter_hair(seen: Pictures) -> Tensor:
    return seen.average(seen.luminance(), "hair")


@rule("darker_hair", needs=("hair",), acts_on=("hair",))
def _darker_hair(seen: Pictures) -> Tensor:
    return -seen.average(seen.luminance(), "hair")


@rule("wider_smile", needs=("mouth",), differentiable=False, acts_on=("skin", "mouth", "eyes", "brows"))
def _wider_smile(seen: Pictures) -> Tensor:
    """Area of the lips and what is between them, as a share of the picture."""
    return (seen.mask("mouth") > 0.5).float().mean((1, 2))


def _turned(seen: Pictures) -> Tensor:
    """How far the eyes are to the right of the middle of the skin, as a share of the picture's side."""
    places = torch.linspace(0, 1, seen.images.shape[-1], device=seen.images.device)

    def centre(part: str) -> Tensor:
        columns = (seen.mask(part) > 0.5).float().sum(1)  # (B, S)
        return (columns @ places + 0.5e-3) / (columns.sum(1) + 1e-3)

    return centre("eyes") - centre("skin")


@rule("looks_right", needs=("eyes", "skin"), differentiable=False)
def _looks_right(seen: Pictures) -> Tensor:
    return _turned(seen)


@rule("looks_left", needs=("eyes", "skin"), differentiable=False)
def _looks_left(seen: Pictures) -> Tensor:
    return -_turned(seen)


def hair_like(colour: str) -> NamedRule:
    """Hair of a picked colour: minus the distance of its mean colour from this one.

    Args:
        colour: "RRGGBB" in hexadecimal digits, a # before it or not.

    Raises:
        LatentConstraintsError: it is none.
    """
    digits = colour.removeprefix("#")
    try:
        if len(digits) != 6:
            raise ValueError(digits)
        wanted = torch.tensor(list(bytes.fromhex(digits))) / 255
    except ValueError as error:
        raise LatentConstraintsError(
            f"{colour!r} is no colour: write six hexadecimal digits, such as a52a2a."
        ) from error

    def nearness(seen: Pictures) -> Tensor:
        means = torch.stack([seen.average(channel, "hair") for channel in seen.images.unbind(1)], 1)
        return -(means - wanted.to(means)).square().sum(1).add(1e-8).sqrt()

    return NamedRule(f"hair_like_{digits.lower()}", nearness, needs=("hair",), acts_on=("hair",))
