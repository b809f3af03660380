"""Blurs of pictures: a Gaussian one, the same to the last bit as torchvision's `gaussian_blur`, and a binomial one.

Importing torchvision takes seconds, for it takes torch's compiler along: as long as all else that one edit takes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["binomial_blur", "gaussian_blur"]


def gaussian_blur(images: Tensor, side: int, deviation: float) -> Tensor:
    """Blur pictures, reflected at their borders.

    Args:
        images: (B, C, H, W), floating point.
        side: pixels of the kernel, odd.
        deviation: the Gaussian's, in pixels.
    """
    far = (side - 1) / (2 * math.sqrt(2))
    places = torch.linspace(-far, far, side, dtype=images.dtype, device=images.device)
    line = torch.softmax(-places.div(deviation).pow(2), 0)
    kernel = (line[:, None] * line).expand(images.shape[1], 1, side, side)
    return F.conv2d(F.pad(images, [side // 2] * 4, mode="reflect"), kernel, groups=images.shape[1])


def binomial_blur(images: Tensor) -> Tensor:
    """(B, C, H, W) with a binomial filter of three pixels, in which depth to space leaves no pattern of every second
    pixel (Odena et al. 2016 show such patterns)."""
    taps = images.new_tensor([1.0, 2.0, 1.0]) / 4
    kernel = (taps[:, None] * taps).expand(images.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=images.shape[1])
