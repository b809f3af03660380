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
    done = _met(constraints, z)
    with torch.no_grad():
        energies = total(constraints, z)[1]
    yield Step(0, z.clone(), energies, done, taken.clone())
    for index in range(1, steps + 1):
        active = torch.nonzero(~done)[:, 0]
        if not len(active):
            return
        chosen = {name: constraint.rows(active) for name, constraint in constraints.items()}
        with torch.enable_grad():
            here = z[active].requires_grad_(True)
            loss, found = total(chosen, here)
            (gradient,) = torch.autograd.grad(loss.sum(), here)
        gradient = gradient * sigma_bar
        first[active] = 0.9 * first[active] + 0.1 * gradient
        second[active] = 0.99 * second[active] + 0.01 * gradient.square()
        mean, scale = first[active] / (1 - 0.9**index), second[active] / (1 - 0.99**index)
        z[active] -= lr * sigma_bar * mean / (scale.sqrt() + 1e-8)
        taken[active] += 1
        for name, energy in found.items():
            energies[name] = energies[name].index_put((active,), energy)
        done = done.index_put((active,), _met(chosen, z[active]))
        yield Step(index, z.clone(), dict(energies), done, taken.clone())


@torch.no_grad()
def _met(constraints: Mapping[str, Constraint], z: Tensor) -> Tensor:
    return torch.stack([constraint.met(z) for constraint in constraints.values()]).all(0)
