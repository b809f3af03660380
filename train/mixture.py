"""A density for z that needs no actor: a Gaussian mixture over the encodings of photos, the aggregate posterior.

The prior N(0, I) fills far more of the latent space than faces do. The realism critic and the actor repair a draw from
it; a density fitted after training starts where faces are (Ghosh et al., ICLR 2020, arXiv 1903.12436, section 4).

    >>> density = Density(DensityConfig(latent=6, components=2, leading=3))
    >>> density.sample(4, torch.Generator().manual_seed(0)).shape
    torch.Size([4, 6])
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lc.errors import WeightsError
from lc.weights import load_config, load_module, save_config, save_module, section

__all__ = ["Density", "DensityConfig", "load_density", "save_density"]


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


def save_density(folder: Path, density: Density) -> None:
    """Write a density beside its generator: a file and a section of config.json."""
    save_config(folder, density=dataclasses.asdict(density.config))
    save_module(folder, "density", density)


def load_density(folder: Path, latent: int) -> Density | None:
    """The density in a weights folder, or None where config.json speaks of none.

    Raises:
        WeightsError: damaged, or not of `latent` dimensions.
    """
    config = load_config(folder)
    if "density" not in config:
        return None
    density = Density(section(config, "density", DensityConfig))
    if density.config.latent != latent:
        raise WeightsError(f"The density in {folder} was made for another generator: fetch the folder again.")
    load_module(folder, "density", density)
    return density
