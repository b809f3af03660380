"""A density for z that needs no walk: a Gaussian mixture over the encodings of photos, the aggregate posterior.

The prior N(0, I) fills far more of the latent space than faces do. The realism critic and the actor repair a draw from
it; a density fitted after training starts where faces are (Ghosh et al., ICLR 2020, arXiv 1903.12436, section 4).

    >>> density = Density(DensityConfig(latent=6, components=2, leading=3))
    >>> density.sample(4, torch.Generator().manual_seed(0)).shape
    torch.Size([4, 6])
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Density", "DensityConfig"]


@dataclass(frozen=True)
class DensityConfig:
    """Sizes of a density, saved as JSON beside its weights."""

    latent: int
    components: int  # of the mixture
    leading: int  # principal axes that the mixture models jointly; the others vary independently

    def __post_init__(self) -> None:
        if not 0 < self.leading <= self.latent or self.components < 1:
            raise ValueError(f"0 < leading <= latent and components > 0 must hold: {self}")


class Density(nn.Module):
    """z = centre + axes^T u: a full-covariance mixture over the leading principal axes, Gaussians over the rest."""

    weights: Tensor  # (components,), sum 1
    means: Tensor  # (components, leading)
    factors: Tensor  # (components, leading, leading), Cholesky factors of the covariances
    tail: Tensor  # (latent - leading,), standard deviations
    centre: Tensor  # (latent,)
    axes: Tensor  # (latent, latent), a principal axis per row, in units of z

    def __init__(self, config: DensityConfig) -> None:
        super().__init__()
        self.config = config
        latent, components, leading = config.latent, config.components, config.leading
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, leading))
        self.register_buffer("factors", torch.eye(leading).repeat(components, 1, 1))
        self.register_buffer("tail", torch.ones(latent - leading))
        self.register_buffer("centre", torch.zeros(latent))
        self.register_buffer("axes", torch.eye(latent))

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw (count, latent). `generator` must be of the CPU: the same seed gives the same faces everywhere."""
        leading = self.means.shape[1]
        chosen = torch.multinomial(self.weights.cpu().float(), count, replacement=True, generator=generator)
        noise = torch.randn(count, len(self.centre), generator=generator).to(self.centre.device)
        chosen = chosen.to(self.centre.device)
        head = self.means[chosen] + (self.factors[chosen] @ noise[:, :leading, None])[:, :, 0]
        return self.centre + torch.cat([head, noise[:, leading:] * self.tail], dim=1) @ self.axes
