"""Constraints of rules: what a rule gives for faces in general, how much of it is wanted, and how that is followed.

A rule that can be differentiated is followed through the decoder. Another (it counts pixels, or asks a program) labels
decoded latents, and a critic that learns these is followed in its place; whether it is met is still asked of the
picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from lc.constraints import Rule, Taught
from lc.edit.space import LatentSpace
from lc.errors import LatentConstraintsError
from lc.few_shot import contrast_of
from lc.rules import NamedRule, Pictures
from lc.taught import LinearCritic

__all__ = [
    "Scale",
    "StandIn",
    "decoded",
    "follow",
    "lessons",
    "level_of",
    "measure",
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
            "The rule {name} gives the same for all faces, or no number for some: it must give one number per picture "
            "that differs between them.",
            name=chosen.name,
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
