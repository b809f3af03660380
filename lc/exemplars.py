"""Moves learned from pairs: how a latent changes when exactly one thing changes on one person.

Where an attribute has many forms (glasses, hats, heads that are bald), the average of all is haze. So a move has
styles, one per exemplar: what laying that exemplar's glasses onto many people adds to their latents, on average. A map
of low rank, the same for all styles, takes away what the exemplar covers:

    z' = z + styles[k] + (z - centre) down up

What differs with every person (a scalp is skin where this hair was) no linear map knows: see `lc.laid`.

    >>> move = Move(latent=4, sizes=MoveConfig(styles=2, rank=1))
    >>> move(torch.zeros(3, 4), style=1).shape
    torch.Size([3, 4])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Exemplars", "ExemplarsConfig", "Move", "MoveConfig"]


@dataclass(frozen=True)
class MoveConfig:
    """Sizes of a move."""

    styles: int = 1
    rank: int = 64

    def __post_init__(self) -> None:
        if self.styles < 1 or self.rank < 0:
            raise ValueError(f"a move has a style or more, and a rank of 0 or more: {self}")


@dataclass(frozen=True)
class ExemplarsConfig:
    """Sizes of all moves, saved as JSON beside their weights.

    Attributes:
        latent: dimensions of z.
        moves: by change, such as "Eyeglasses=1".
    """

    latent: int
    moves: Mapping[str, MoveConfig]

    def __post_init__(self) -> None:
        moves = {name: one if isinstance(one, MoveConfig) else MoveConfig(**one) for name, one in self.moves.items()}
        object.__setattr__(self, "moves", moves)


class Move(nn.Module):
    """One change, in one of its styles.

    Attributes:
        styles: (K, latent). centre: (latent,). down: (latent, rank). up: (rank, latent).
    """

    styles: Tensor
    centre: Tensor
    down: Tensor
    up: Tensor

    def __init__(self, latent: int, sizes: MoveConfig) -> None:
        super().__init__()
        self.config = sizes
        self.register_buffer("styles", torch.zeros(sizes.styles, latent))
        self.register_buffer("centre", torch.zeros(latent))
        self.register_buffer("down", torch.zeros(latent, sizes.rank))
        self.register_buffer("up", torch.zeros(sizes.rank, latent))

    def forward(self, z: Tensor, style: int = 0) -> Tensor:
        """(B, latent) -> (B, latent); styles are counted from 0 and go round."""
        return z + self.styles[style % len(self.styles)] + (z - self.centre) @ self.down @ self.up


class Exemplars(nn.Module):
    """The moves of a weights folder, by change: "Eyeglasses=1", "Eyeglasses=0", ..."""

    def __init__(self, config: ExemplarsConfig) -> None:
        super().__init__()
        self.config = config
        self.moves = nn.ModuleDict({name: Move(config.latent, sizes) for name, sizes in config.moves.items()})

    def get(self, name: str, wanted: bool) -> Move | None:
        """The move of a change, where there is one."""
        key = f"{name}={int(wanted)}"
        found = self.moves[key] if key in self.moves else None  # noqa: SIM401, a ModuleDict has no get
        assert found is None or isinstance(found, Move)
        return found
