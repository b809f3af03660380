"""Energies over z: what an edit has to satisfy. Each is one class; a sum of energies is an AND.

An energy is (B,) and falls as the constraint comes true; beside it stands, per row, whether it is true enough to stop:
both from one pass through the critic, which is what a step costs.
Source: arXiv 1711.05772, sections 2 to 4; the stop rule is that of its published notebook.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lc.losses import attribute_loss, distance, satisfied

__all__ = ["Attributes", "Constraint", "Distance", "Realism", "total"]

#: z (B, latent) -> logits (B, .): a critic, or what `lc.critics.folded` made of one.
Logits = Callable[[Tensor], Tensor]

#: A probability that was asked for ("a little smile") is reached within this.
NEAR = 0.05


class Constraint(Protocol):
    """An energy over latents with a weight and a stop rule."""

    @property
    def weight(self) -> float:
        """What the energy counts in a sum."""

    def judge(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z (B, latent) -> the energy (B,), differentiable, and whether it is low enough, (B,) of bool."""

    def rows(self, index: Tensor) -> Constraint:
        """The same constraint for a selection of rows, (K,) of int."""


@dataclass(frozen=True)
class Realism:
    """z lies where encodings of real photos lie: -log D(z), without labels, which would veto rare combinations."""

    critic: Logits
    weight: float = 0.3
    level: float = 0.3  # D above this is real enough (the notebook's)

    def judge(self, z: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.critic(z)[:, 0]
        return satisfied(logits), torch.sigmoid(logits.detach()) > self.level

    def rows(self, index: Tensor) -> Realism:
        return self


@dataclass(frozen=True)
class Attributes:
    """Pushed attributes reach their target; the others keep the probability they had.

    Attributes:
        target: (B, 10) in [0, 1]: wanted values where `mask`, else what the critic reads in the original.
        mask: (B, 10) bool, True where pushed.
        margin: how far beyond the boundary, in logits, an attribute pushed to 0 or 1 must be.
        hold: weight of each held attribute against a pushed one.
    """

    critic: Logits
    target: Tensor
    mask: Tensor
    weight: float = 1.0
    margin: float = 1.0
    hold: float = 0.3

    def judge(self, z: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.critic(z)
        energy = attribute_loss(logits, self.target, torch.where(self.mask, 1.0, self.hold))
        read = logits.detach()
        whole = (self.target == 0) | (self.target == 1)
        beyond = read * (self.target * 2 - 1) > self.margin
        near = (torch.sigmoid(read) - self.target).abs() < NEAR
        return energy, (torch.where(whole, beyond, near) | ~self.mask).all(1)

    def rows(self, index: Tensor) -> Attributes:
        values = (self.weight, self.margin, self.hold)
        return Attributes(self.critic, self.target[index], self.mask[index], *values)


@dataclass(frozen=True)
class Distance:
    """z stays near the z it came from, which keeps the person."""

    origin: Tensor  # (B, latent)
    sigma_bar: Tensor  # (latent,)
    weight: float = 0.1

    def judge(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return distance(z, self.origin, self.sigma_bar), torch.ones(len(z), dtype=torch.bool, device=z.device)

    def rows(self, index: Tensor) -> Distance:
        return Distance(self.origin[index], self.sigma_bar, self.weight)


def total(constraints: Mapping[str, Constraint], z: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """The weighted sum (B,), each constraint's own unweighted energy (B,), and whether all are met, (B,) of bool."""
    judged = {name: constraint.judge(z) for name, constraint in constraints.items()}
    weighted = [constraints[name].weight * energy for name, (energy, _) in judged.items()]
    met = torch.stack([met for _, met in judged.values()]).all(0)
    return torch.stack(weighted).sum(0), {name: energy.detach() for name, (energy, _) in judged.items()}, met
