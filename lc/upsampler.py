"""Super-resolution of a generator's pictures: the same face with twice as many pixels a side.

A photo that is edited has more pixels than a small generator draws, and what an edit puts into it should not look
blurred beside what it leaves. The net learns from photos and from what the generator makes of them (Ledig et al. 2017,
SRGAN); latents, critics and actor know nothing of it.

    >>> Upsampler(UpsamplerConfig(width=8, blocks=1, fine=4))(torch.rand(2, 3, 16, 16)).shape
    torch.Size([2, 3, 32, 32])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from lc.crops import to_pictures, to_tensor

__all__ = ["Upsampler", "UpsamplerConfig"]


@dataclass(frozen=True)
class UpsamplerConfig:
    """Sizes of the net, saved as JSON beside its weights."""

    width: int = 64  # channels of the residual blocks, at half the picture's size
    blocks: int = 5
    fine: int = 24  # channels at the picture's size

    def __post_init__(self) -> None:
        if min(self.width, self.blocks, self.fine) < 1:
            raise ValueError(f"sizes of an upsampler must be positive: {self}")


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.second(F.leaky_relu(self.first(x), 0.2))
        return x + h


class Upsampler(nn.Module):
    """What twice the resolution adds to bicubic interpolation. It knows where in the aligned crop it looks."""

    def __init__(self, config: UpsamplerConfig) -> None:
        super().__init__()
        self.config, fine = config, config.fine
        self.first = nn.Conv2d(12 + 2, config.width, 3, padding=1)
        self.blocks = nn.Sequential(*(_Block(config.width) for _ in range(config.blocks)))
        self.up = nn.Conv2d(config.width, 4 * fine, 3, padding=1)
        self.fine = nn.Conv2d(fine + 3, fine, 3, padding=1)
        self.last = nn.Conv2d(fine, 12, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1], S even -> (B, 3, 2S, 2S) in [0, 1]."""
        side = images.shape[-1] // 2
        line = torch.linspace(-1, 1, side, device=images.device, dtype=images.dtype)
        places = torch.stack(torch.meshgrid(line, line, indexing="ij")).expand(len(images), 2, side, side)
        x = F.leaky_relu(self.first(torch.cat([F.pixel_unshuffle(images * 2 - 1, 2), places], 1)), 0.2)
        x = F.leaky_relu(F.pixel_shuffle(self.up(self.blocks(x)), 2), 0.2)
        x = F.leaky_relu(self.fine(torch.cat([x, images * 2 - 1], 1)), 0.2)
        smooth = F.interpolate(images, scale_factor=2, mode="bicubic", align_corners=False)
        return (smooth + F.pixel_shuffle(self.last(x), 2)).clamp(0, 1)

    @torch.inference_mode()
    def enlarged(self, pictures: Sequence[Image.Image]) -> list[Image.Image]:
        """Pictures of S x S pixels with twice as many a side."""
        return to_pictures(self(to_tensor(pictures, self.first.weight.device)))
