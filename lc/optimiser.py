"""Gradient descent in latent space, live: yields every step, so that a page can show the walk.

Source: arXiv 1711.05772, section 3, and its notebook: Adam on z, at most 300 steps, stop per row when the constraints
hold. Steps are taken in units of sigma_bar, so that no dimension moves further than the encoder can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lc.constraints import Constraint, total

__all__ = ["Step", "optimise"]


@dataclass(frozen=True)
class Step:
    """The state of a walk after `index` steps; step 0 is the start.

    Attributes:
        z: (B, latent).
        energies: each constraint's energy, (B,).
        done: (B,) bool, rows that have met every constraint and no longer move.
        taken: (B,) int, how many steps each row has moved.
    """

    index: int
    z: Tensor
    energies: dict[str, Tensor]
    done: Tensor
    taken: Tensor


def optimise(
    start: Tensor,
    constraints: Mapping[str, Constraint],
    sigma_bar: Tensor,
    *,
    steps: int = 300,
    lr: float = 0.1,
) -> Iterator[Step]:
    """Walk downhill until every row meets every constraint, or `steps` are used up. Draws nothing by chance.

    A row's path does not depend on the other rows. Stop iterating to cancel.

    Args:
        start: (B, latent), where to begin: the original z or the actor's proposal.
        constraints: by name; their order is that of `Step.energies`.
        sigma_bar: (latent,), the unit of a step.
        steps: at most so many.
        lr: Adam's step, in sigma_bar per dimension.

    Yields:
        The start, then the state after each step.
    """
    z = start.detach().clone()
    first, second = torch.zeros_like(z), torch.zeros_like(z)  # Adam's moments, kept per row (Kingma and Ba 2015)
    taken = torch.zeros(len(z), dtype=torch.long, device=z.device)
    done = torch.zeros(len(z), dtype=torch.bool, device=z.device)
    energies = {name: z.new_zeros(len(z)) for name in constraints}
    moving = torch.arange(len(z), device=z.device)
    for index in range(steps + 1):
        chosen = {name: constraint.rows(moving) for name, constraint in constraints.items()}
        with torch.enable_grad():
            here = z[moving].requires_grad_(True)
            loss, found = total(chosen, here)
            (gradient,) = torch.autograd.grad(loss.sum(), here)
        energies = {name: energies[name].index_put((moving,), energy) for name, energy in found.items()}
        done = done.index_put((moving,), _met(chosen, z[moving]))
        yield Step(index, z.clone(), energies, done, taken.clone())
        going = ~done[moving]
        moving, gradient = moving[going], gradient[going] * sigma_bar
        if index == steps or not len(moving):
            return
        first[moving] = 0.9 * first[moving] + 0.1 * gradient
        second[moving] = 0.99 * second[moving] + 0.01 * gradient.square()
        mean, scale = first[moving] / (1 - 0.9 ** (index + 1)), second[moving] / (1 - 0.99 ** (index + 1))
        z[moving] -= lr * sigma_bar * mean / (scale.sqrt() + 1e-8)
        taken[moving] += 1


@torch.no_grad()
def _met(constraints: Mapping[str, Constraint], z: Tensor) -> Tensor:
    return torch.stack([constraint.met(z) for constraint in constraints.values()]).all(0)
