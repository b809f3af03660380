"""A generator without an encoder: the generator half of a GAN.

Source: Goodfellow et al. 2014 (GAN); Brock, Donahue and Simonyan 2019 (BigGAN: every batch norm is scaled and shifted
by the latent). Photos go in by inversion, see `lc.invert`.

    >>> gan = GAN(GANConfig(latent=16, widths=(8, 8, 8, 8))).eval()
    >>> gan.decode(torch.randn(2, 16)).shape
    torch.Size([2, 3, 64, 64])
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lc.blur import binomial_blur
from lc.generator import register

__all__ = ["GAN", "GANConfig"]


@dataclass(frozen=True)
class GANConfig:
    """Sizes of the generator, saved as JSON beside its weights."""

    latent: int = 256
    widths: tuple[int, ...] = (256, 128, 96, 48)  # channels at 4x4, 8x8, 16x16, 32x32
    patch: int = 2  # pixels per place of the 32x32 maps, each way

    @property
    def image_size(self) -> int:
        """Side of the square pictures, in pixels."""
        return 32 * self.patch

    def __post_init__(self) -> None:
        if len(self.widths) != 4 or min(*self.widths, self.latent) < 1 or self.patch not in (2, 4):
            raise ValueError(f"GAN sizes must be positive, with four widths and a patch of 2 or 4: {self}")


class Styled(nn.Module):
    """Batch norm whose scale and shift are linear in the latent, and a leaky ReLU."""

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.style = nn.Linear(latent, 2 * width)
        nn.init.normal_(self.style.weight, std=0.02)
        nn.init.zeros_(self.style.bias)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, width, H, W), z (B, latent) -> (B, width, H, W)."""
        scale, shift = self.style(z)[:, :, None, None].chunk(2, dim=1)
        return F.leaky_relu(torch.addcmul(shift, self.norm(x), 1 + scale), 0.2)


class Doubling(nn.Module):
    """Twice the side: a 1x1 convolution and depth to space, then two 3x3 convolutions that add to it."""

    def __init__(self, latent: int, inputs: int, width: int) -> None:
        super().__init__()
        self.up = nn.Conv2d(inputs, 4 * width, 1)
        self.styles = nn.ModuleList(Styled(latent, width) for _ in range(2))
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, inputs, H, W), z (B, latent) -> (B, width, 2H, 2W)."""
        # Each of the four places has weights of its own: with interpolation here faces take several times as long.
        h = x = F.pixel_shuffle(self.up(x), 2)
        for style, convolution in zip(self.styles, self.convolutions, strict=True):
            h = convolution(style(h, z))
        return x + h


class Synthesis(nn.Module):
    """z -> pictures: a fully connected layer to 4x4, three doublings, and one step from 32x32 to pixels."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        self.start = nn.Linear(config.latent, 16 * config.widths[0])
        self.doublings = nn.ModuleList(Doubling(config.latent, *pair) for pair in itertools.pairwise(config.widths))
        self.style = Styled(config.latent, config.widths[-1])
        self.out = nn.Conv2d(config.widths[-1], 3 * config.patch**2, 3, padding=1)
        self.width, self.patch = config.widths[0], config.patch
        with torch.no_grad():  # all pixels of a place alike, to begin with (ICNR, Aitken et al. 2017)
            self.out.weight.copy_(self.out.weight[:: config.patch**2].repeat_interleave(config.patch**2, 0))
            self.out.bias = nn.Parameter(torch.zeros(3 * config.patch**2))

    def forward(self, z: Tensor) -> Tensor:
        """z (B, latent) -> (B, 3, S, S) in [0, 1]."""
        x = self.start(z).unflatten(1, (self.width, 4, 4)).contiguous(memory_format=torch.channels_last)
        for doubling in self.doublings:
            x = doubling(x, z)
        return binomial_blur(torch.sigmoid(F.pixel_shuffle(self.out(self.style(x, z)), self.patch).float()))


@register("GAN", GANConfig, parts=("synthesis",))
class GAN(nn.Module):
    """A generator that was trained against a discriminator. Implements `lc.generator.Generator`, prior N(0, I)."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        self.config, self.latent, self.image_size = config, config.latent, config.image_size
        self.synthesis = Synthesis(config)

    def decode(self, z: Tensor) -> Tensor:
        """(B, latent) -> (B, 3, S, S) in [0, 1], S = image_size."""
        pictures: Tensor = self.synthesis(z)
        return pictures
