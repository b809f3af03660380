"""Generated faces that meet constraints: drawn from the flow, or moved by the actor, and refined by the optimiser."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from lc.attributes import Strength
from lc.constraints import And, Constraint, Point, for_rows
from lc.crops import to_pictures
from lc.draw import Draws
from lc.edit.actor import realistic
from lc.edit.problem import changes_of, constraints_of, wanted_changes
from lc.edit.solve import refine_samples
from lc.edit.space import LatentSpace
from lc.errors import LatentConstraintsError
from lc.generator import from_prior
from lc.numbers import MAX_COUNT, whole_number
from lc.results import Sample

__all__ = ["generated", "nearest", "samples"]


def generated(
    space: LatentSpace,
    n: int,
    set: Mapping[str, Strength],
    seed: int,
    constraints: Sequence[Constraint],
    realism: bool,
    batch: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Latents of n generated faces, `batch` at a time.

    Args:
        space: of the model.
        n, set, seed, constraints, realism: see `lc.editor.FaceEditor.sample`, whose errors these are.
        batch: how many at a time; rounding apart, faces do not depend on it.

    Yields:
        z (B, latent), and the label vectors that they were made for, (B, A) in {0, 1}.
    """
    try:
        n = whole_number(n, 1, MAX_COUNT)
    except LatentConstraintsError as error:
        raise LatentConstraintsError(
            "Ask for at least one face and at most {most} at a time.", most=MAX_COUNT
        ) from error
    seed = whole_number(seed)
    served, others = changes_of(space, [*constraints_of(space, set), *constraints])
    changes = wanted_changes(space, served)
    if changes.partial:
        raise LatentConstraintsError(
            "A generated face has {name} or not: choose 0 or 1.", name=next(iter(changes.partial))
        )
    draws, device = Draws(space.model, changes, seed), space.sigma_bar.device
    for first in range(0, n, batch):
        noise, y = (values.to(device) for values in draws(first, min(n, first + batch)))
        rest = dict(zip(others, for_rows(list(others.values()), first, len(y), device), strict=True))
        if not realism:
            z = from_prior(space.model.generator, noise)
        elif rest and space.model.flow is not None:
            z = nearest(space, noise, y, rest)
        else:
            z = realistic(space, noise, y)
        yield refine_samples(space, z, y, changes, rest, realism), y


@torch.inference_mode()
def nearest(space: LatentSpace, noise: Tensor, y: Tensor, constraints: Mapping[str, Constraint]) -> Tensor:
    """Of eight draws of the flow for each face the one that constraints ask least of, (B, latent): who begins where
    the background is bright need not be led there, out of where faces lie.

    Args:
        space: of the model.
        noise: (B, latent) from N(0, I); shifted, turned round and mirrored it gives the other draws, which so depend on
            nothing else.
        y: (B, A) in {0, 1}, the label vectors that they are made for.
        constraints: by name.
    """
    half = noise.roll(noise.shape[1] // 2, 1)
    turned = [sign * one for one in (noise, noise.flip(1), half, half.flip(1)) for sign in (1, -1)]
    drawn, every = [realistic(space, one, y) for one in turned], And(tuple(constraints.values()))
    found = [every.evaluate(Point(z)) for z in drawn]
    lacking, met = torch.stack([one.energy for one in found]), torch.stack([one.met for one in found])  # (8, B)
    # A critic that stands in for a rule does not know all of it: where the rule itself says yes, that counts.
    best = lacking.masked_fill(met.any(0) & ~met, math.inf).argmin(0)
    return torch.stack(drawn)[best, torch.arange(len(y), device=y.device)]


def samples(
    space: LatentSpace,
    n: int,
    set: Mapping[str, Strength],
    seed: int,
    constraints: Sequence[Constraint],
    realism: bool,
    batch: int,
) -> Iterator[Sample]:
    """The faces of `generated`, whose arguments these are."""
    for z, y in generated(space, n, set, seed, constraints, realism, batch):
        yield from _shown(space, z, y)


@torch.inference_mode()
def _shown(space: LatentSpace, z: Tensor, y: Tensor) -> list[Sample]:
    """What is made of latents (B, latent), for label vectors (B, A) in {0, 1}."""
    model = space.model
    pictures, read = to_pictures(model.generator.decode(z)), space.probabilities(z)
    shown = model.enlarger.enlarged(pictures) if model.enlarger else pictures
    wanted = [{name: v >= 0.5 for name, v in space.attributes.named(row).items()} for row in y.tolist()]
    return [Sample(shown[row], pictures[row], z[row].cpu().clone(), wanted[row], read[row]) for row in range(len(z))]
