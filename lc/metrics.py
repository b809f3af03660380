"""Figures of merit: reconstruction, attributes read back, realism, diversity."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["psnr"]


def psnr(images: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio per picture, in dB: (B, 3, H, W) twice, both in [0, 1] -> (B,)."""
    mse = (images.clamp(0, 1) - reference).square().flatten(1).mean(1)
    return -10 * torch.log10(mse.clamp_min(1e-10))
