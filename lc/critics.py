"""The critics over latents: D(z, y), is it realistic, and D_attr(z), which attributes does it show.

Source: arXiv 1711.05772, sections 2 and 3, appendix 7.2. Two things differ from the paper's nets, which see raw z:
inputs are whitened per dimension and weighted by how much of the dimension is signal (`LatentStatistics.gain`), and
D's label may be left out, so that one net scores both "real" and "real and y".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["AttributeCritic", "Critic", "LatentStatistics", "NetConfig", "Whiten", "folded", "trunk"]


class LatentStatistics(NamedTuple):
    """Per-dimension statistics of the encodings of the training photos, each (latent,).

    mean, std: of the aggregate posterior q(z), i.e. of mu + sigma * noise over all photos.
    sigma_bar: the encoder's sigma averaged over all photos: the unit of distance.
    """

    mean: Tensor
    std: Tensor
    sigma_bar: Tensor

    @property
    def gain(self) -> Tensor:
        """1 / std, shrunk by the share of the std that is signal: 0 for a dimension that the decoder ignores."""
        signal = (1 - (self.sigma_bar / self.std).square()).clamp_min(0).sqrt()
        return signal / self.std


@dataclass(frozen=True)
class NetConfig:
    """Sizes of an actor or a critic, saved as JSON beside its weights."""

    latent: int = 1024
    attributes: int = 10
    width: int = 1024  # the paper's is 2048, which trains 3.5 times slower and reads no better here
    layers: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if min(self.latent, self.attributes, self.width, self.layers) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"network sizes must be positive and 0 <= dropout < 1: {self}")


class Whiten(nn.Module):
    """z (B, latent) -> (z - mean) * gain, so that every input has unit scale and noise dimensions vanish."""

    mean: Tensor
    gain: Tensor
    spread: Tensor  # leads back: how far z moves per whitened unit, 0 for noise dimensions

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("gain", torch.ones(latent))
        self.register_buffer("spread", torch.ones(latent))

    def fit(self, statistics: LatentStatistics) -> None:
        """Take the statistics of the training photos' encodings."""
        self.mean.copy_(statistics.mean)
        self.gain.copy_(statistics.gain)
        self.spread.copy_(statistics.gain * statistics.std.square())

    def forward(self, z: Tensor) -> Tensor:
        return (z - self.mean) * self.gain


def trunk(inputs: int, outputs: int, config: NetConfig) -> nn.Sequential:
    """The paper's multilayer perceptron: `layers` hidden layers of `width`, no normalisation."""
    layers: list[nn.Module] = []
    for i in range(config.layers):
        layers += [nn.Linear(inputs if i == 0 else config.width, config.width), nn.ReLU()]
        if config.dropout:
            layers.append(nn.Dropout(config.dropout))
    return nn.Sequential(*layers, nn.Linear(config.width, outputs))


class Critic(nn.Module):
    """D(z, y) -> logit: is z the encoding of a real photo (with attributes y)?"""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.config = config
        self.whiten = Whiten(config.latent)
        self.label = nn.Linear(config.attributes, config.width // 4)
        self.body = trunk(config.latent + config.width // 4, 1, config)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z (B, latent), y (B, A) in [0, 1] or None for "any" -> logits (B, 1). A y of 0.5 means "don't know"."""
        y = z.new_full((len(z), self.config.attributes), 0.5) if y is None else y
        logits: Tensor = self.body(torch.cat([self.whiten(z), self.label(y * 2 - 1)], dim=1))
        return logits


class AttributeCritic(nn.Module):
    """D_attr(z) -> logits, one for each attribute: does decode(z) show the attribute?"""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.config = config
        self.whiten = Whiten(config.latent)
        self.body = trunk(config.latent, config.attributes, config)

    def forward(self, z: Tensor) -> Tensor:
        """z (B, latent) -> logits (B, A)."""
        logits: Tensor = self.body(self.whiten(z))
        return logits


@torch.no_grad()
def folded(critic: Critic | AttributeCritic) -> nn.Sequential:
    """The same logits in fewer operations, for a net that is frozen: z (B, latent) -> (B, 1) or (B, A).

    Whitening, and D's label where it is "any", are constant or linear in z: both go into the first layer.
    """
    first, *rest = critic.body
    assert isinstance(first, nn.Linear)
    whiten, latent = critic.whiten, critic.config.latent
    weight, bias = first.weight[:, :latent].detach(), first.bias.detach()
    if isinstance(critic, Critic):
        bias = bias + first.weight[:, latent:] @ critic.label.bias  # a y of 0.5 leaves nothing but the bias
    layer = nn.Linear(latent, len(weight), device=weight.device)
    layer.weight.copy_(weight * whiten.gain)
    layer.bias.copy_(bias - layer.weight @ whiten.mean)
    return nn.Sequential(layer.requires_grad_(False), *(x for x in rest if not isinstance(x, nn.Dropout)))
