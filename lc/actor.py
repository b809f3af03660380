"""G(z, y): the amortised edit, one pass from a latent to a latent that satisfies the constraints.

Source: arXiv 1711.05772, section 4 and appendix 7.2: z' = (1 - gate) * z + gate * dz. Added here: the identity slider
is an input, so that one actor serves all of it, and so is which attributes are edited, so that the others are
preserved.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lc.critics import NetConfig, Whiten, trunk

__all__ = ["Actor"]

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
