"""Energies over z: what an edit has to satisfy. Each is one class; a sum of energies is an AND.

An energy is (B,) and falls as the constraint comes true; `met` says per row when it is true enough to stop.
Source: arXiv 1711.05772, sections 2 to 4; the stop rule is that of its published notebook.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lc.critics import AttributeCritic, Critic
from lc.losses import attribute_loss, distance, satisfied

__all__ = ["Attributes", "Constraint", "Distance", "Realism", "total"]


class Constraint(Protocol):
    """An energy over latents with a weight and a stop rule."""

    @property
    def weight(self) -> float:
        """What the energy counts in a sum."""

    def energy(self, z: Tensor) -> Tensor:
        """z (B, latent) -> (B,), differentiable."""

    def met(self, z: Tensor) -> Tensor:
        """z (B, latent) -> (B,) of bool."""

    def rows(self, index: Tensor) -> Constraint:
        """The same constraint for a selection of rows, (K,) of int."""


@dataclass(frozen=True)
class Realism:
    """z lies where encodings of real photos lie: -log D(z), without labels, which would veto rare combinations."""

    critic: Critic
    weight: float = 0.05
    level: float = 0.3  # D above this is real enough (the notebook's)

    def energy(self, z: Tensor) -> Tensor:
        return satisfied(self.critic(z))[:, 0]

    def met(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.critic(z))[:, 0] > self.level

    def rows(self, index: Tensor) -> Realism:
        return self


@dataclass(frozen=True)
class Attributes:
    """Pushed attributes reach their target; the others keep the probability they had.

    Attributes:
        target: (B, 10) in [0, 1]: wanted values where `mask`, else what the critic reads in the original.
        mask: (B, 10) bool, True where pushed.
        margin: how far beyond the boundary, in logits, a pushed attribute must be.
        hold: weight of each held attribute against a pushed one.
    """

    critic: AttributeCritic
    target: Tensor
    mask: Tensor
    weight: float = 1.0
    margin: float = 2.0
    hold: float = 0.3

    def energy(self, z: Tensor) -> Tensor:
        weights = torch.where(self.mask, 1.0, self.hold)
        return attribute_loss(self.critic(z), self.target, weights)

    def met(self, z: Tensor) -> Tensor:
        toward = self.critic(z) * (self.target * 2 - 1)
        return ((toward > self.margin) | ~self.mask).all(1)

    def rows(self, index: Tensor) -> Attributes:
        values = (self.weight, self.margin, self.hold)
        return Attributes(self.critic, self.target[index], self.mask[index], *values)


@dataclass(frozen=True)
class Distance:
    """z stays near the z it came from, which keeps the person."""

    origin: Tensor  # (B, latent)
    sigma_bar: Tensor  # (latent,)
    weight: float = 0.1

    def energy(self, z: Tensor) -> Tensor:
        return distance(z, self.origin, self.sigma_bar)

    def met(self, z: Tensor) -> Tensor:
        return torch.ones(len(z), dtype=torch.bool, device=z.device)

    def rows(self, index: Tensor) -> Distance:
        return Distance(self.origin[index], self.sigma_bar, self.weight)


def total(constraints: Mapping[str, Constraint], z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum (B,), and each constraint's own unweighted energy (B,)."""
    energies = {name: constraint.energy(z) for name, constraint in constraints.items()}
    weighted = [constraints[name].weight * energy for name, energy in energies.items()]
    return torch.stack(weighted).sum(0), {name: energy.detach() for name, energy in energies.items()}
