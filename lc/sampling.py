"""Generated faces that meet constraints: drawn from the flow, or moved by the actor, and refined by the optimiser."""

from __future__ import annotations

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

_ATTEMPTS = 32  # draws for a face, at most: a rule that one face in ten meets is met by one of them in .97


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
        end = min(n, first + batch)
        rest = dict(zip(others, for_rows(list(others.values()), first, end - first, device), strict=True))
        if rest and realism and space.model.flow is not None:
            z, y = nearest(space, draws, first, end, rest)
        else:
            noise, y = (values.to(device) for values in draws(first, end))
            z = realistic(space, noise, y) if realism else from_prior(space.model.generator, noise)
        yield refine_samples(space, z, y, changes, rest, realism), y


@torch.inference_mode()
def nearest(
    space: LatentSpace, draws: Draws, first: int, end: int, constraints: Mapping[str, Constraint]
) -> tuple[Tensor, Tensor]:
    """Draws of the flow until all constraints are met, or of 32 the one that they ask least of: who begins where the
    background is bright need not be led there, out of where faces lie.

    Args:
        space: of the model.
        draws: what chance says.
        first, end: which faces.
        constraints: by name, each of these B faces.

    Returns:
        z (B, latent), and the label vectors that they were drawn for, (B, A) in {0, 1}.
    """
    every, device = And(tuple(constraints.values())), space.sigma_bar.device
    left = torch.arange(end - first, device=device)
    for attempt in range(_ATTEMPTS):
        noise, labels = (values.to(device)[left] for values in draws(first, end, attempt))
        drawn = realistic(space, noise, labels)
        found = every.rows(left).evaluate(Point(drawn))
        if not attempt:
            z, y, energy = drawn.clone(), labels.clone(), found.energy.clone()
        # A critic that stands in for a rule does not know all of it: where the rule itself says yes, that counts.
        better = found.met | (found.energy < energy[left])
        z[left[better]], y[left[better]], energy[left[better]] = drawn[better], labels[better], found.energy[better]
        left = left[~found.met]
        if not len(left):
            break
    return z, y


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
