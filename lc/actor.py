"""G(z, y): the amortised edit, one pass from a latent to a latent that satisfies the constraints.

Source: arXiv 1711.05772, section 4 and appendix 7.2: z' = (1 - gate) * z + gate * dz. Added here: the identity slider
is an input, so that one actor serves all of it, and so is which attributes are edited, so that the others are
preserved.

A taught attribute has a small one of its own, which mends the straight line that its edits begin with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lc.critics import LatentStatistics, NetConfig, Whiten, trunk

__all__ = ["Actor", "TaughtActor"]

# Whitened latents of real photos lie within about this many standard deviations; proposals beyond it burn the picture.
_WIDEST = 4.0


class Actor(nn.Module):
    """G(z, y, edited, identity) -> z'."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.config = config
        self.whiten = Whiten(config.latent)
        self.label = nn.Linear(2 * config.attributes + 1, config.width // 4)
        self.body = trunk(config.latent + config.width // 4, 2 * config.latent, config)

    def forward(self, z: Tensor, y: Tensor, edited: Tensor, identity: Tensor) -> Tensor:
        """Move z to where the attributes y hold.

        Args:
            z: (B, latent).
            y: (B, A) in [0, 1], the wanted attributes, those to preserve included.
            edited: (B, A), 1 where the attribute is to be edited, 0 where it is to be preserved.
            identity: (B,) in [0, 1]: 0 satisfies the attributes, 1 keeps the person.

        Returns:
            (B, latent).
        """
        # Only signal dimensions move: the gain is 0 elsewhere, and the decoder ignores those.
        u = self.whiten(z)
        condition = torch.cat([y * 2 - 1, edited.to(z.dtype), identity[:, None] * 2 - 1], dim=1)  # (B, 2 A + 1)
        proposal, gate = self.body(torch.cat([u, self.label(condition)], dim=1)).float().chunk(2, dim=1)
        # A gate that starts nearly shut makes an untrained actor nearly the identity.
        gate = torch.sigmoid(gate - 2)
        proposal = _WIDEST * torch.tanh(proposal / _WIDEST)
        return z + gate * (proposal - u) * self.whiten.spread


class TaughtActor(nn.Module):
    """G(z, end, up) -> z': where an edit of one taught attribute leads, both ways. Untrained it leads to `end`.

    Args:
        statistics: of the generator's latents.
        width: of its hidden layers.
    """

    def __init__(self, statistics: LatentStatistics, width: int) -> None:
        super().__init__()
        latent = len(statistics.mean)
        self.width, self.whiten = width, Whiten(latent).to(statistics.mean.device)
        self.whiten.fit(statistics)
        config = NetConfig(latent=latent, attributes=1, width=width, layers=2)
        self.body = trunk(latent + 1, 2 * latent, config).to(statistics.mean.device)
        last = self.body[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, z: Tensor, end: Tensor, up: Tensor) -> Tensor:
        """Move z.

        Args:
            z: (B, latent).
            end: (B, latent), where the straight line leads.
            up: (B,), 1 where the attribute is to come, -1 where it is to go.

        Returns:
            (B, latent).
        """
        shift, gate = self.body(torch.cat([self.whiten(z), up[:, None]], dim=1)).float().chunk(2, dim=1)
        # The line is a mean of few photos; of the shift, what is no signal is left out, as the decoder ignores it.
        return end + torch.sigmoid(gate) * shift * self.whiten.spread
