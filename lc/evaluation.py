"""What a constraint is: an energy over latents and a stop rule, evaluated at a point. Its kinds: `lc.constraints`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

__all__ = ["Constraint", "Evaluation", "Net", "Point", "evaluate", "for_rows", "total"]

#: (B, .) -> (B, .): a critic of latents, what `lc.critics.folded` made of one, or a decoder.
Net = Callable[[Tensor], Tensor]


class Point:
    """Latents at which constraints are evaluated. A net that several of them ask is run once.

    Attributes:
        z: (B, latent).
    """

    def __init__(self, z: Tensor) -> None:
        self.z = z
        self._outputs: dict[Net, Tensor] = {}

    def run(self, net: Net) -> Tensor:
        """The output of a net for z."""
        if net not in self._outputs:
            self._outputs[net] = net(self.z)
        return self._outputs[net]


class Evaluation(NamedTuple):
    """A constraint at a point.

    energy: (B,), >= 0, differentiable in z.
    met: (B,) bool, true enough to stop.
    refuted: (B,) bool, false enough that the negation is met; never where `met`.
    """

    energy: Tensor
    met: Tensor
    refuted: Tensor


class Constraint(Protocol):
    """An energy over latents, with a weight and a stop rule."""

    @property
    def weight(self) -> float:
        """What the energy counts in a sum; >= 0."""

    def evaluate(self, at: Point) -> Evaluation:
        """Energy and stop rule at (B, latent). Each row depends on its own latent only."""

    def rows(self, index: Tensor) -> Constraint:
        """The same constraint for a selection of rows, (K,) of int."""


def evaluate(constraint: Constraint, z: Tensor) -> Evaluation:
    """One constraint at latents (B, latent)."""
    return constraint.evaluate(Point(z))


def for_rows(constraints: Sequence[Constraint], start: int, count: int, device: torch.device) -> list[Constraint]:
    """The constraints for `count` rows from `start` on."""
    return [constraint.rows(torch.arange(start, start + count, device=device)) for constraint in constraints]


def total(constraints: Mapping[str, Constraint], z: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """The weighted sum (B,), each constraint's own unweighted energy (B,), and whether all are met, (B,) of bool."""
    at = Point(z)
    found = {name: constraint.evaluate(at) for name, constraint in constraints.items()}
    weighted = [constraints[name].weight * one.energy for name, one in found.items()]
    met = torch.stack([one.met for one in found.values()]).all(0)
    return torch.stack(weighted).sum(0), {name: one.energy.detach() for name, one in found.items()}, met
