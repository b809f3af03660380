"""A prior that was learned afterwards: a rectified flow from noise to where photos' encodings lie.

The paper closes the gap between prior and encodings by one jump of the actor. A flow walks (Liu et al. 2023,
arXiv 2209.03003; Lipman et al. 2023, arXiv 2210.02747): at each time t its velocity says where, on the average of all
photos that a point may still become, the way goes on. Labels are given or left out, so that one net is a prior with
and without conditions (classifier-free guidance, Ho and Salimans 2022). The generator stays as it is.

It flows in the leading principal axes of the encodings' means. What lies across them is the encoder's noise, which the
decoder ignores: there a drawn latent is the mean.

    >>> flow = Flow(FlowConfig(latent=6, axes=3, attributes=2, width=8, blocks=1, steps=4))
    >>> flow.draw(torch.randn(5, 6), torch.zeros(5, 2)).shape
    torch.Size([5, 6])
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Flow", "FlowConfig", "Velocity"]

_FREQUENCIES = 64  # of the sines and cosines that time is given by


@dataclass(frozen=True)
class FlowConfig:
    """Sizes of a flow and how it is followed, saved as JSON beside its weights."""

    latent: int = 1024
    axes: int = 400  # principal axes that it flows in
    attributes: int = 10
    width: int = 1024
    blocks: int = 6
    condition: int = 128  # width of what time and label become
    steps: int = 10  # of Heun's method, from noise to latent
    guidance: float = 1.5  # how many times as far as the label leads; 1: as far
    weak_width: int = 0  # of the smaller net; 0: there is none
    weak_blocks: int = 3
    away: float = 1.0  # how far from it the way leads, of how far it is from there
    broad: int = 60  # axes, the leading ones, whose noise is N(0, 1)
    calm: float = 1.0  # standard deviation of the others' noise: below 1 faces differ in less detail, and are clearer

    def __post_init__(self) -> None:
        sizes = [self.latent, self.axes, self.attributes, self.width, self.blocks, self.condition, self.steps]
        sizes += [self.weak_blocks, self.weak_width or 1]
        ways = math.isfinite(self.guidance) and math.isfinite(self.away) and min(self.guidance, self.away) >= 0
        if min(sizes) < 1 or self.axes > self.latent or not ways or self.broad < 0 or not 0 <= self.calm <= 1:
            raise ValueError(f"sizes of a flow must be positive, and axes no more than latent: {self}")


class Block(nn.Module):
    """A residual perceptron whose normalised input time and label scale and shift (Peebles and Xie 2023, DiT)."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.condition = nn.Linear(condition, 3 * width)
        self.first, self.last = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.condition.weight)
        nn.init.zeros_(self.condition.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, width) and what time and label say, (B, condition) -> (B, width)."""
        shift, scale, gate = self.condition(condition).chunk(3, dim=1)
        hidden = self.last(F.silu(self.first(self.norm(x) * (1 + scale) + shift)))
        return x + (1 + gate) * hidden


class Velocity(nn.Module):
    """v(x, t, y): the velocity at x of the way from noise, t = 0, to an encoding, t = 1.

    Args:
        config: the sizes, but for those that follow.
        width, blocks: of this net.
    """

    frequencies: Tensor

    def __init__(self, config: FlowConfig, width: int, blocks: int) -> None:
        super().__init__()
        span = torch.linspace(0, math.log(1000), _FREQUENCIES)
        self.register_buffer("frequencies", torch.exp(span), persistent=False)
        inner = config.condition
        self.time = nn.Sequential(nn.Linear(2 * _FREQUENCIES, inner), nn.SiLU(), nn.Linear(inner, inner))
        self.label = nn.Linear(config.attributes + 1, inner)
        self.first = nn.Linear(config.axes, width)
        self.blocks = nn.ModuleList(Block(width, inner) for _ in range(blocks))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.last, self.carried = nn.Linear(width, config.axes), nn.Linear(inner, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor, t: Tensor, y: Tensor, known: Tensor) -> Tensor:
        """The velocity.

        Args:
            x: (B, axes), coordinates along the principal axes.
            t: (B,) in [0, 1].
            y: (B, A) in [0, 1], the wanted attributes.
            known: (B,) in {0, 1}, 0 where the attributes may be any.

        Returns:
            (B, axes).
        """
        angles = t[:, None] * self.frequencies
        label = self.label(torch.cat([y * 2 - 1, torch.ones_like(y[:, :1])], dim=1) * known[:, None])
        condition = F.silu(self.time(torch.cat([angles.cos(), angles.sin()], dim=1)) + label)
        hidden = self.first(x)
        for block in self.blocks:
            hidden = block(hidden, condition)
        velocity: Tensor = self.last(self.norm(hidden)) + x * self.carried(condition)
        return velocity


class Flow(Velocity):
    """The way from noise to encodings, in coordinates along their principal axes."""

    centre: Tensor  # (latent,)
    directions: Tensor  # (axes, latent), principal axes in units of z

    def __init__(self, config: FlowConfig) -> None:
        super().__init__(config, config.width, config.blocks)
        self.config = config
        self.register_buffer("centre", torch.zeros(config.latent))
        self.register_buffer("directions", torch.eye(config.axes, config.latent))
        self.weak = Velocity(config, config.weak_width, config.weak_blocks) if config.weak_width else None

    def latents(self, x: Tensor) -> Tensor:
        """Coordinates along the axes (B, axes) -> latents (B, latent)."""
        return self.centre + x @ self.directions

    @torch.inference_mode()
    def draw(self, noise: Tensor, y: Tensor) -> Tensor:
        """Latents that have attributes.

        Args:
            noise: (B, latent) from N(0, I), of which the first axes count.
            y: (B, A) in {0, 1}.

        Returns:
            (B, latent).
        """
        broad, steps = self.config.broad, self.config.steps
        x = noise[:, : self.config.axes].clone()
        x[:, broad:] *= self.config.calm  # truncation, Brock et al. 2019, section 3.1, of what is fine
        # Short steps at both ends, where the velocity turns most.
        times = [(1 - math.cos(math.pi * i / steps)) / 2 for i in range(steps)]
        for t, end in itertools.pairwise([*times, 1.0]):
            slope, step = self._guided(x, t, y), end - t
            if end < 1:  # Heun's second look; at the very end the velocity is hardly known
                slope = (slope + self._guided(x + step * slope, end, y)) / 2
            x = x + step * slope
        return self.latents(x)

    def _guided(self, x: Tensor, t: float, y: Tensor) -> Tensor:
        """The velocity that leads on from the unlabelled one, and from the smaller net's, beyond the labelled one:
        (B, axes)."""
        known = x.new_ones(len(x))
        both = self(x.repeat(2, 1), t * known.repeat(2), y.repeat(2, 1), torch.cat([known, 0 * known]))
        labelled, anyone = both.chunk(2)
        velocity: Tensor = anyone + self.config.guidance * (labelled - anyone)
        if self.weak is not None:
            velocity = velocity + self.config.away * (labelled - self.weak(x, t * known, y, known))
        return velocity
