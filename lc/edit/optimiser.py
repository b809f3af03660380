"""Gradient descent on the constraints' energies in latent space, one yield per step.

Source: arXiv 1711.05772, section 3, and its notebook: Adam on z, at most 300 steps, stop per row when the constraints
are met. What differs, and why:
- A trajectory may begin with a straight line to a proposal, the actor's, and descends from there. Descent from the
  original finds latents that D_attr accepts and an independent classifier does not: on held-out photos that classifier
  confirms an edit far more often beyond the proposal, along the same line, than after as much descent.
- Steps are taken in units of sigma_bar, so that no dimension moves further than the encoder can tell apart.
- Descent can be kept within a radius of where it began (a trust region), which edits do, for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lc.constraints import Constraint, total

__all__ = ["Step", "optimise", "rms"]


@dataclass(frozen=True)
class Step:
    """The state of a trajectory after `index` steps; step 0 is the start.

    Attributes:
        z: (B, latent).
        energies: each constraint's energy, (B,).
        done: (B,) bool, rows that have met every constraint and no longer move.
        taken: (B,) int, how many steps each row has moved.
        pictures: (B, 3, S, S) in [0, 1], decoded from z, where they are known already.
    """

    index: int
    z: Tensor
    energies: dict[str, Tensor]
    done: Tensor
    taken: Tensor
    pictures: Tensor | None = None


def rms(move: Tensor, sigma_bar: Tensor) -> Tensor:
    """The length of moves (B, latent): root mean square over dimensions in units of sigma_bar, (B,)."""
    return (move / sigma_bar).square().mean(1).sqrt()


def optimise(
    z0: Tensor,
    constraints: Mapping[str, Constraint],
    sigma_bar: Tensor,
    *,
    steps: int,
    rate: float,
    stride: float,
    radius: float = math.inf,
    proposal: Tensor | None = None,
) -> Iterator[Step]:
    """Move until every row meets every constraint, or `steps` are used up. Draws nothing by chance.

    A row's path does not depend on the other rows. Stop iterating to cancel.

    Args:
        z0: (B, latent), where the trajectory begins.
        constraints: by name; their order is that of `Step.energies`.
        sigma_bar: (latent,), the unit of a step.
        steps: at most so many.
        rate: Adam's step, in sigma_bar per dimension.
        stride: the length of a step towards the proposal; see `rms`.
        radius: how far descent may lead away from where it began; see `rms`.
        proposal: (B, latent), where to go before descending; None descends from z0.

    Yields:
        The start, then the state after each step.
    """
    z = z0.detach().clone()
    end = z if proposal is None else proposal.detach()
    origin, ahead = z, torch.ceil(rms(end - z, sigma_bar) / stride).long()  # (B,) steps to the proposal
    descent = _Descent(end.clone(), sigma_bar, rate, radius)
    taken = torch.zeros(len(z), dtype=torch.long, device=z.device)
    done = torch.zeros(len(z), dtype=torch.bool, device=z.device)
    energies = {name: z.new_zeros(len(z)) for name in constraints}
    moving = torch.arange(len(z), device=z.device)
    for index in range(steps + 1):
        chosen = {name: constraint.rows(moving) for name, constraint in constraints.items()}
        arrived = index >= ahead[moving]
        with torch.set_grad_enabled(bool(arrived.any()) and index < steps):
            here = z[moving].requires_grad_(torch.is_grad_enabled())
            loss, found, met = total(chosen, here)
            gradient = torch.autograd.grad(loss.sum(), here)[0] if loss.requires_grad else torch.zeros_like(here)
        energies = {name: energies[name].index_put((moving,), energy) for name, energy in found.items()}
        done = done.index_put((moving,), met & arrived)
        yield Step(index, z, energies, done, taken.clone())
        going = ~done[moving]
        moving, gradient, arrived = moving[going], gradient[going], arrived[going]
        if index == steps or not len(moving):
            return
        z, taken = z.clone(), taken + 1 - done.long()
        near, far = moving[arrived], moving[~arrived]
        z[near] = descent.step(z[near], gradient[arrived], near)
        z[far] = torch.lerp(origin[far], end[far], ((index + 1) / ahead[far])[:, None])


class _Descent:
    """Adam (Kingma and Ba 2015) with moments and a count of steps for each row, within a ball around `centre`."""

    def __init__(self, centre: Tensor, sigma_bar: Tensor, rate: float, radius: float) -> None:
        self.centre, self.sigma_bar, self.rate, self.radius = centre, sigma_bar, rate, radius
        self.first, self.second = torch.zeros_like(centre), torch.zeros_like(centre)
        self.count = centre.new_zeros(len(centre), 1)

    def step(self, z: Tensor, gradient: Tensor, rows: Tensor) -> Tensor:
        """Where the rows (K,) go from z (K, latent)."""
        gradient = gradient * self.sigma_bar
        self.count[rows] += 1
        self.first[rows] = 0.9 * self.first[rows] + 0.1 * gradient
        self.second[rows] = 0.99 * self.second[rows] + 0.01 * gradient.square()
        mean = self.first[rows] / (1 - 0.9 ** self.count[rows])
        scale = self.second[rows] / (1 - 0.99 ** self.count[rows])
        moved = z - self.rate * self.sigma_bar * mean / (scale.sqrt() + 1e-8) - self.centre[rows]
        inside = (self.radius / rms(moved, self.sigma_bar)).clamp_max(1)
        return self.centre[rows] + moved * inside[:, None]
