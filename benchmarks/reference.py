"""What the optimiser and the actor are compared with: the paper's own, written out plainly.

Source: arXiv 1711.05772, section 3, and the settings of its published notebook: Adam on z with lr 1e-2, at most 300
steps, -0.05 log D(z) + BCE(D_attr(z) -> wanted), no distance, stop per row when D > 0.3 and the attribute is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PaperActor", "paper_critic", "plain"]

Logits = Callable[[Tensor], Tensor]


def plain(
    z: Tensor, critic: Logits, attribute_critic: Logits, target: Tensor, mask: Tensor, *, steps: int = 300, stop: bool
) -> tuple[Tensor, Tensor]:
    """The paper's walk with torch's own Adam.

    Args:
        z: (B, latent).
        critic, attribute_critic: z -> logits (B, 1) and (B, 10).
        target: (B, 10) in {0, 1}, mask: (B, 10), True at the attributes that are changed.
        stop: rows stop when they are there; else all of them use all steps.

    Returns:
        The moved latents (B, latent), and the steps that each row took (B,).
    """
    moved = z.clone().requires_grad_(True)
    adam = torch.optim.Adam([moved], lr=1e-2)
    taken = torch.zeros(len(z))
    for _ in range(steps):
        real, read = critic(moved)[:, 0], attribute_critic(moved)
        there = ((read * (target * 2 - 1) > 0) | ~mask).all(1) & (torch.sigmoid(real) > 0.3)
        going = ~there if stop else torch.ones_like(there)
        if not going.any():
            break
        attributes = F.binary_cross_entropy_with_logits(read, target, reduction="none") * mask
        loss = 0.05 * F.softplus(-real) + attributes.sum(1)
        adam.zero_grad()
        (loss * going).sum().backward()
        before = moved.detach().clone()
        adam.step()
        with torch.no_grad():
            moved.copy_(torch.where(going[:, None], moved, before))  # Adam's momentum would move the others too
        taken += going
    return moved.detach(), taken


def _trunk(inputs: int, outputs: int, width: int) -> nn.Sequential:
    sizes = (inputs, *(width,) * 4)
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(sizes):
        layers += [nn.Linear(wide, narrow), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def paper_critic(outputs: int, width: int = 2048, latent: int = 1024) -> nn.Sequential:
    """A critic of the paper's size, untrained: the time does not depend on the weights."""
    return _trunk(latent, outputs, width).eval()


class PaperActor(nn.Module):
    """The paper's actor, untrained: the label embedded, four hidden layers, a proposal and a gate."""

    def __init__(self, width: int = 2048, latent: int = 1024, attributes: int = 10) -> None:
        super().__init__()
        self.label = nn.Linear(attributes, width)
        self.body = _trunk(latent + width, 2 * latent, width)
        self.eval().requires_grad_(False)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """z (B, latent), y (B, 10) -> (B, latent)."""
        change, gate = self.body(torch.cat([z, self.label(y)], dim=1)).chunk(2, dim=1)
        gate = torch.sigmoid(gate)
        return (1 - gate) * z + gate * change
