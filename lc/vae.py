"""The generator that ships: a convolutional VAE.

Source: Kingma and Welling 2014 (VAE); Engel, Hoffman, Roberts, ICLR 2018, arXiv 1711.05772, section 2 (a VAE with a
sharp likelihood, sigma_x = 0.1, reconstructs well and samples badly: the latent constraints repair the samples). With
a linear encoder: Tipping and Bishop 1999 (probabilistic PCA), Lucas et al. 2019 (it is what a linear VAE converges to).

    >>> vae = VAE(VAEConfig(latent=16, widths=(8, 8, 8, 8), bottleneck=8))
    >>> posterior = vae.encode(torch.rand(2, 3, 64, 64))
    >>> vae.decode(posterior.mean).shape
    torch.Size([2, 3, 64, 64])
    >>> VAE(VAEConfig(latent=16, widths=(8, 8, 8, 8), bottleneck=8, patch=4, linear=16)).image_size
    128
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lc.blur import gaussian_blur
from lc.generator import Posterior, register

__all__ = ["VAE", "Decoder", "Encoder", "LinearEncoder", "VAEConfig", "unsharp"]


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of the VAE, saved as JSON beside its weights."""

    latent: int = 1024
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels at 32x32, 16x16, 8x8, 4x4
    bottleneck: int = 256  # channels of the 4x4 map that meets the fully connected layer: most parameters sit there
    encoder_blocks: int = 0  # residual blocks at 16x16 and at 8x8
    decoder_blocks: int = 1  # the same in the decoder
    decoder_widths: tuple[int, ...] = ()  # channels of the decoder, which each correction step waits for; none: widths
    decoder_bottleneck: int = 0  # likewise; 0: bottleneck
    detail: int = 0  # channels of a second way to pixels, at 64x64, which a sharpened decoder draws fine lines with
    crispness: float = 0.0  # amount of unsharp masking of what is decoded: contrast for fewer decibels than grain costs
    patch: int = 2  # pixels per place of the 32x32 maps, each way: the nets work at 32x32 and below at any image size
    fine_blocks: int = 0  # bottleneck residual blocks at 32x32 in the decoder
    linear: int = 0  # side of the small picture that z is a linear map of, see `LinearEncoder`; 0: `Encoder`

    @property
    def image_size(self) -> int:
        """Side of the square pictures, in pixels."""
        return 32 * self.patch

    def __post_init__(self) -> None:
        if (
            len(self.widths) != 4
            or len(self.decoder_widths) not in (0, 4)
            or min(*self.widths, *self.decoder_widths, self.latent, self.bottleneck) < 1
            or min(self.encoder_blocks, self.decoder_blocks, self.decoder_bottleneck, self.detail, self.crispness) < 0
            or self.patch not in (2, 4)
            or min(self.fine_blocks, self.linear) < 0
            or self.linear > self.image_size
        ):
            raise ValueError(f"VAE sizes must be positive, with four widths and a patch of 2 or 4: {self}")


class ResidualBlock(nn.Module):
    """x + conv(conv(x)), pre-activation with batch norm (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class BottleneckBlock(nn.Module):
    """x + 1x1 conv(3x3 conv(1x1 conv(x))) at half the width, pre-activation (He et al. 2016): a fifth of the cost of a
    `ResidualBlock`, for maps of many places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = width // 2
        self.body = nn.Sequential(
            *_normalised(width),
            nn.Conv2d(width, inner, 1, bias=False),
            *_normalised(inner),
            nn.Conv2d(inner, inner, 3, padding=1, bias=False),
            *_normalised(inner),
            nn.Conv2d(inner, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _normalised(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(width), nn.LeakyReLU(0.2, inplace=True)


class Encoder(nn.Module):
    """q(z|x): a strided convolution over patches that overlap by half (space to depth and a convolution in one), three
    stride-2 convolutions, residual blocks at 16x16 and 8x8, one fully connected layer."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for level, width in enumerate(config.widths):
            stride = 2 if level else config.patch
            layers += [nn.Conv2d(channels, width, 2 * stride, stride, stride // 2, bias=False), *_normalised(width)]
            if level in (1, 2):  # 16x16, 8x8
                layers += [ResidualBlock(width) for _ in range(config.encoder_blocks)]
            channels = width
        layers += [nn.Conv2d(channels, config.bottleneck, 1, bias=False), *_normalised(config.bottleneck)]
        self.features = nn.Sequential(*layers)
        self.mean = nn.Linear(config.bottleneck * 16, config.latent)
        self.raw_std = nn.Linear(config.bottleneck * 16, config.latent)

    def forward(self, images: Tensor) -> Posterior:
        """images (B, 3, S, S) in [0, 1], S = image_size, -> Posterior of (B, latent)."""
        h = self.features(images * 2 - 1).flatten(1)  # (B, bottleneck * 16)
        # The floor keeps 1 / std^2 and log std finite in half precision.
        return Posterior(self.mean(h).float(), F.softplus(self.raw_std(h).float()) + 1e-4)


class LinearEncoder(nn.Module):
    """q(z|x) of probabilistic PCA: z's mean is a linear map of the photo, made small, and its std the same for all.

    With a thousand dimensions that is nearer to the photo than what a deep encoder learns within hours, and it is found
    in minutes (see `train.linear`); what is not linear is the decoder's.
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.side = config.linear
        # One for each colour, for each becomes a file of weights, and some hosts take no large ones.
        self.colours = nn.ModuleList(nn.Linear(config.linear**2, config.latent) for _ in range(3))
        self.raw_std = nn.Parameter(torch.zeros(config.latent))

    def forward(self, images: Tensor) -> Posterior:
        """images (B, 3, S, S) in [0, 1], S = image_size, -> Posterior of (B, latent)."""
        small = F.adaptive_avg_pool2d(images, self.side) * 2 - 1
        parts = [layer(colour) for layer, colour in zip(self.colours, small.flatten(2).unbind(1), strict=True)]
        mean = torch.stack(parts).float().sum(0)
        return Posterior(mean, (F.softplus(self.raw_std.float()) + 1e-4).expand_as(mean))


class Decoder(nn.Module):
    """p(x|z)'s mean: the encoder mirrored; where that is linear, the net adds to the linear picture what it lacks."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        w32, w16, w8, w4 = config.decoder_widths or config.widths
        self.bottleneck = config.decoder_bottleneck or config.bottleneck
        self.project = nn.Linear(config.latent, self.bottleneck * 16)
        blocks8 = [ResidualBlock(w8) for _ in range(config.decoder_blocks)]
        blocks16 = [ResidualBlock(w16) for _ in range(config.decoder_blocks)]
        self.features = nn.Sequential(
            *_normalised(self.bottleneck),
            nn.Conv2d(self.bottleneck, w4, 1, bias=False),
            *_normalised(w4),
            nn.ConvTranspose2d(w4, w8, 4, 2, 1, bias=False),
            *blocks8,
            *_normalised(w8),
            nn.ConvTranspose2d(w8, w16, 4, 2, 1, bias=False),
            *blocks16,
            *_normalised(w16),
            nn.ConvTranspose2d(w16, w32, 4, 2, 1, bias=False),
            *[BottleneckBlock(w32) for _ in range(config.fine_blocks)],
            *_normalised(w32),
            # Many channels at 64x64 and above would cost the most time for the least gain: go to pixels in one step
            # (depth to space and a convolution in one). A kernel of twice the stride covers every pixel equally often,
            # so no checkerboard.
            nn.ConvTranspose2d(w32, 3, 2 * config.patch, config.patch, config.patch // 2),
        )
        # One linear step from 32x32 draws the same phases everywhere, which shows as a checkerboard once fine contrast
        # is asked for. A few channels that meet again at 64x64 can do without.
        self.detail = Detail(w32, config.detail, config.image_size) if config.detail else None
        self.crispness = config.crispness
        self.side, self.image_size, self.fine = config.linear, config.image_size, config.fine_blocks + 3
        patch, colours = config.patch, 3 if config.linear else 0
        self.colours = nn.ModuleList(nn.Linear(config.latent, config.linear**2) for _ in range(colours))
        self.patches = nn.Conv2d(3, w32, 2 * patch, patch, patch // 2) if colours else None

    def forward(self, z: Tensor) -> Tensor:
        """z (B, latent) -> images (B, 3, S, S) in [0, 1], S = image_size."""
        plain = self.plain(z)
        h = self.features[: -self.fine](self.project(z).unflatten(1, (self.bottleneck, 4, 4)))
        if plain is not None and self.patches is not None:
            h = h + self.patches(plain)
        h = self.features[-self.fine : -1](h)
        drawn = self.features[-1](h)
        if self.detail is not None:
            drawn = drawn + self.detail(h)
        images = torch.sigmoid(drawn.float()) if plain is None else plain.float() + drawn.float()
        images = unsharp(images, self.crispness) if self.crispness else images
        return images if plain is None and not self.crispness else images.clamp(0, 1)

    def plain(self, z: Tensor) -> Tensor | None:
        """z (B, latent) -> the linear picture, enlarged, (B, 3, S, S) and not held to [0, 1]; None without one."""
        if not self.colours:
            return None
        small = torch.stack([layer(z).unflatten(1, (self.side, self.side)) for layer in self.colours], 1)
        enlarged: Tensor = F.interpolate(small, self.image_size, mode="bicubic", align_corners=False)
        return enlarged


def unsharp(images: Tensor, amount: float) -> Tensor:
    """Unsharp masking: (B, 3, H, W) with `amount` more of what is finer than about three pixels."""
    return images + amount * (images - gaussian_blur(images, 7, 1.2))


class Detail(nn.Module):
    """(B, width, 32, 32) -> (B, 3, image_size, image_size), beginning at zero; the work is done at 64x64.

    A fixed map of noise joins in, scaled per channel (Karras et al. 2019, section 2, where it is drawn anew): without
    it texture that no latent holds, hair above all, can only be drawn as a regular pattern.
    """

    noise: Tensor  # (channels, 64, 64)

    def __init__(self, width: int, channels: int, image_size: int = 64) -> None:
        super().__init__()
        self.out: nn.Module
        self.up = nn.ConvTranspose2d(width, channels, 4, 2, 1)
        fixed = torch.Generator().manual_seed(0)
        self.register_buffer("noise", torch.randn(channels, 64, 64, generator=fixed))
        self.strength = nn.Parameter(torch.full((channels, 1, 1), 0.1))
        self.mix = nn.Conv2d(channels, channels, 3, padding=1)
        if image_size == 64:
            self.out = nn.Conv2d(channels, 3, 3, padding=1)
        else:
            stride = image_size // 64
            self.out = nn.ConvTranspose2d(channels, 3, 2 * stride, stride, stride // 2)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, h: Tensor) -> Tensor:
        x = F.leaky_relu(self.up(h) + self.strength * self.noise, 0.2)
        return self.out(F.leaky_relu(self.mix(x), 0.2))


@register("VAE", VAEConfig, parts=("encoder", "decoder"))
class VAE(nn.Module):
    """The generator that ships. Implements `lc.generator.EncodingGenerator`."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.latent, self.image_size = config.latent, config.image_size
        self.encoder = LinearEncoder(config) if config.linear else Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, images: Tensor) -> Posterior:
        """images (B, 3, S, S) in [0, 1], S = image_size, -> Posterior of (B, latent)."""
        posterior: Posterior = self.encoder(images)
        return posterior

    def decode(self, z: Tensor) -> Tensor:
        """z (B, latent) -> images (B, 3, S, S) in [0, 1], S = image_size."""
        images: Tensor = self.decoder(z)
        return images
