"""Constraints that need no data: functions of the decoded picture, by name.

A rule gives a number per picture; more of it is wanted. One that can be differentiated is followed through the decoder.
Another (it counts pixels, or asks a program) labels decoded latents, and a critic that learns these is followed in its
place; whether it is met is still asked of the picture.

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

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from lc.constraints import Rule, Taught
from lc.edit.space import LatentSpace
from lc.errors import LatentConstraintsError, UnknownAttributeError
from lc.few_shot import contrast_of
from lc.parser import Parser
from lc.taught import LinearCritic

__all__ = [
    "NamedRule",
    "Pictures",
    "Scale",
    "StandIn",
    "decoded",
    "follow",
    "hair_like",
    "lessons",
    "level_of",
    "measure",
    "named_rule",
    "rule",
    "rules",
    "sample",
    "stand_in",
    "values",
    "values_of",
]

_MEASURED = 128  # latents whose pictures give a rule its unit
_STOOD_IN = 2000  # latents that a stand-in learns from, at most
_SAMPLE_LEVEL = 0.84  # standard deviations above the mean: what one face in five has
_EDIT_STEP = 1.0  # standard deviations more than the photo has
_FURTHEST = 2.0  # standard deviations beyond its target that a critic's rule is looked for at most
_UNITS = 4.0  # logits per standard deviation
_BATCH = 64
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


# --- as constraints ------------------------------------------------------------------------------------------------


class Scale(NamedTuple):
    """What a rule gives for faces in general: mean, and standard deviation > 0."""

    mean: float
    std: float


@torch.no_grad()
def decoded(space: LatentSpace, z: Tensor) -> Iterator[Pictures]:
    """What is decoded from latents (K, latent), some at a time."""
    for chunk in z.split(_BATCH):
        yield Pictures(space.model.generator.decode(chunk), space.model.parser)


@torch.no_grad()
def values(chosen: Sequence[NamedRule], pictures: Iterable[Pictures]) -> dict[str, Tensor]:
    """What each rule gives for each picture, (K,), by its name; each picture is parsed once."""
    rows = [[rule(seen).float() for rule in chosen] for seen in pictures]
    return {rule.name: torch.cat([row[i] for row in rows]) for i, rule in enumerate(chosen)}


def values_of(space: LatentSpace, chosen: NamedRule, z: Tensor) -> Tensor:
    """What a rule gives for the pictures of latents, (K, latent) -> (K,)."""
    return values([chosen], decoded(space, z))[chosen.name]


def sample(space: LatentSpace) -> list[Pictures]:
    """Faces in general, see `lc.few_shot.contrast_of`, by which `measure` gives rules their unit."""
    return list(decoded(space, contrast_of(space)[:_MEASURED]))


def measure(space: LatentSpace, chosen: NamedRule, pictures: Sequence[Pictures] | None = None) -> Scale:
    """A rule's values for faces in general.

    Args:
        space: of the model.
        chosen: the rule.
        pictures: what `sample` gives, where it is known already.

    Raises:
        LatentConstraintsError: the model has no parser that the rule needs; or the rule gives the same for every face,
            or no finite numbers of shape (B,).
    """
    chosen.checked(space.model.parser)
    pictures = sample(space) if pictures is None else pictures
    found = values([chosen], pictures)[chosen.name]
    many = sum(len(seen.images) for seen in pictures)
    if found.shape != (many,) or not found.isfinite().all() or not float(found.std()) > 1e-9:
        raise LatentConstraintsError(
            f"The rule {chosen.name} gives the same for all faces, or no number for some: it must give one number per "
            "picture that differs between them."
        )
    return Scale(float(found.mean()), float(found.std()))


def level_of(
    space: LatentSpace, chosen: NamedRule, scale: Scale, z: Tensor | None = None, share: float = 1.0
) -> float | Tensor:
    """The value that is asked for: more than each of latents (B, latent) has by a share, in (0, 1], of a standard
    deviation, (B,); without latents, as much as one face in five has."""
    if z is None:
        return scale.mean + _SAMPLE_LEVEL * scale.std
    return values_of(space, chosen, z) + share * _EDIT_STEP * scale.std


def follow(
    space: LatentSpace,
    chosen: NamedRule,
    scale: Scale,
    z: Tensor | None = None,
    weight: float = 1.0,
    share: float = 1.0,
) -> Rule:
    """A rule that is differentiable, followed through the decoder.

    Args:
        space: of the model.
        chosen: which.
        scale: see `measure`.
        z: (B, latent) of photos, see `level_of`.
        weight: of its energy.
        share: of what is to be added, see `level_of`.
    """
    model = space.model

    def function(images: Tensor) -> Tensor:
        return chosen(Pictures(images, model.parser))

    level = level_of(space, chosen, scale, z, share)
    return Rule(model.generator.decode, function, level, scale.std / _UNITS, weight, acts_on=chosen.acts_on)


@dataclass(frozen=True, eq=False)
class StandIn:
    """A linear critic that has learned a rule from decoded latents: it is followed, and the rule says when it is met.

    Attributes:
        space: of the model.
        chosen, scale: the rule, see `measure`.
        critic: z -> logits (B, 1), `_UNITS` of them per standard deviation of the rule, 0 at its mean.
        direction: (latent,), along which faces in general vary with the rule.
        explained: share of the rule's variance that it explains on latents left out, at most 1.
    """

    space: LatentSpace
    chosen: NamedRule
    scale: Scale
    critic: LinearCritic
    direction: Tensor
    explained: float

    def constraint(self, z: Tensor | None = None, weight: float = 1.0, share: float = 1.0) -> Taught:
        """As `follow`, by the critic: relative to latents (B, latent), or as much as one face in five has."""
        threshold: float | Tensor = _SAMPLE_LEVEL * _UNITS
        if z is not None:
            with torch.no_grad():
                threshold = self.critic(z)[:, 0] + share * _EDIT_STEP * _UNITS
        return Taught(
            self.critic,
            threshold=threshold,
            weight=weight,
            margin=0.0,
            direction=self.direction,
            target=_FURTHEST * _UNITS,
            name=self.chosen.name,
            acts_on=self.chosen.acts_on,
            measured=partial(values_of, self.space, self.chosen),
            level=level_of(self.space, self.chosen, self.scale, z, share),
        )


def lessons(space: LatentSpace) -> Tensor:
    """The latents that a stand-in learns from, (K, latent)."""
    return contrast_of(space)[:_STOOD_IN]


def stand_in(space: LatentSpace, chosen: NamedRule, scale: Scale, said: Tensor | None = None) -> StandIn:
    """Fit a critic to what a rule says of decoded latents, by ridge regression in closed form.

    Args:
        space: of the model.
        chosen: the rule.
        scale: see `measure`.
        said: what the rule says of `lessons`, (K,), where it is known already.
    """
    statistics, z = space.model.statistics, lessons(space)
    said = values_of(space, chosen, z) if said is None else said
    y = ((said - scale.mean) / scale.std).double()
    gain = statistics.gain.double()
    x = (z.double() - statistics.mean.double()) * gain
    known = torch.arange(len(z), device=z.device) % 5 > 0
    weight, offset = _ridge(x[known], y[known])
    missed = (x[~known] @ weight + offset - y[~known]).square().mean() / y[~known].var(correction=0)
    weight, offset = _ridge(x, y)
    weight_z = _UNITS * weight * gain
    bias = _UNITS * offset - weight_z @ statistics.mean.double()
    direction = gain * statistics.std.double().square() * (torch.cov(x.T) @ weight)
    critic = LinearCritic(weight_z.float(), bias.float())
    return StandIn(space, chosen, scale, critic, direction.float(), 1 - float(missed))


def _ridge(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (D,) and offset: least squares with a penalty of the number of dimensions."""
    mean, middle = x.mean(0), y.mean()
    centred = x - mean
    gram = centred.T @ centred + x.shape[1] * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    weight = torch.linalg.solve(gram, centred.T @ (y - middle))
    return weight, middle - mean @ weight
